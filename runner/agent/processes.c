#define _GNU_SOURCE
#include "processes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "descriptors.h"
#include "files.h"
#include "frames.h"
#include "meters.h"
#include "users.h"

enum { MAX_OPEN_FILES = 512, KILL_TIMEOUT_US = 10 * 1000 * 1000 };
/* A net where no cgroup holds memory. Node reserves over 500 MB that it never touches. */
static const uint64_t data_limit_slack = 2ull << 30;

static int child_signals;

/* ---- Starting ---- */

static void limit(int resource, uint64_t value) {
  struct rlimit both = {value, value};
  setrlimit(resource, &both);
}

/*
 * Nets, where the meters decide: CPU seconds are rounded up, and one more. Of the two limits on processes the cgroup's is the one that
 * counts refusals, so the user's own is a process wider where both are the same; also where the agent is one of that user's.
 */
static void set_limits(const struct launch *launch) {
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_NOFILE, MAX_OPEN_FILES);
  limit(RLIMIT_FSIZE, launch->file_bytes);
  limit(RLIMIT_NPROC, launch->processes + (launch->processes == container_processes() || !can_switch_users()));
  if (launch->cpu_ms != 0) limit(RLIMIT_CPU, launch->cpu_ms / 1000 + 2);
  if (!has_cgroup()) limit(RLIMIT_DATA, launch->memory_bytes + data_limit_slack);
}

/* The kernel's out-of-memory killer takes the student's processes before the agent. */
static void volunteer_for_oom_kill(void) {
  if (!can_switch_users()) prctl(PR_SET_DUMPABLE, 1); /* Or the file belongs to a root that is not mapped. */
  int descriptor = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  if (write(descriptor, "1000", 4) < 0) _exit(126);
  close(descriptor);
}

/* The rest of a child's life; `descriptors` become 0, 1, 2 and so on, all others are closed. */
static void execute(const struct launch *launch, const int *descriptors, int count) {
  static char path[1024], packages[1024];
  snprintf(path, sizeof path, "PATH=%s", getenv("PATH"));
  const char *python_path = getenv("PYTHONPATH"); /* Set where there is a dependency layer. */
  snprintf(packages, sizeof packages, "PYTHONPATH=%s", python_path == NULL ? "" : python_path);
  char *last = python_path == NULL ? NULL : packages;
  char *environment[] = {path, "HOME=/tmp", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1", last, NULL};
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  setsid();
  for (int i = 0; i < count; i++) {
    if (descriptors[i] < 0) close(i);
    else if (dup2(descriptors[i], i) < 0) _exit(126);
  }
  close_range(count, ~0u, 0);
  volunteer_for_oom_kill();
  set_limits(launch);
  become(launch->user);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || chdir(WORK_FOLDER) != 0) _exit(126);
  execvpe(launch->arguments[0], launch->arguments, environment);
  dprintf(2, "%s: %s\n", launch->arguments[0], strerror(errno));
  _exit(errno == ENOENT ? 127 : 126);
}

struct process start(const struct launch *launch) {
  struct process process = {.user = launch->user, .input = -1, .output = -1, .errors = -1, .report = -1, .control = -1};
  int theirs[5] = {-1, -1, -1, -1, -1};
  if (launch->has_input) make_pipe(&theirs[0], &process.input);
  else theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
  make_pipe(&process.output, &theirs[1]);
  if (launch->shares_output) theirs[2] = fcntl(theirs[1], F_DUPFD_CLOEXEC, 0);
  else make_pipe(&process.errors, &theirs[2]);
  widen_pipe(process.output);
  widen_pipe(process.errors);
  int report_at = launch->peer_socket < 0 ? 3 : 4;
  if (launch->has_report) make_pipe(&process.report, &theirs[report_at]);
  if (launch->peer_socket >= 0) theirs[3] = launch->peer_socket;
  if (launch->has_control) {
    int ends[2];
    make_socket_pair(ends);
    process.control = ends[0];
    theirs[4] = ends[1];
  }
  process.pid = fork();
  if (process.pid < 0) fail("fork");
  if (process.pid == 0) execute(launch, theirs, 5);
  for (int i = 0; i < 5; i++) close_once(&theirs[i]);
  return process;
}

/* ---- Ending ---- */

void watch_children(void) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, NULL);
  child_signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  if (child_signals < 0) fail("signals");
}

int child_signals_descriptor(void) { return child_signals; }

void clear_child_signals(void) {
  struct signalfd_siginfo info;
  if (read(child_signals, &info, sizeof info) < 0 && errno != EAGAIN) fail("signals");
}

/*
 * One call of the kernel reaches every process but the first one, so a fork bomb cannot outrun it. All orphans are the agent's, so
 * nothing is left when it has no child any more.
 */
void kill_all_and_reap(void) {
  uint64_t deadline = now_us() + KILL_TIMEOUT_US;
  for (;;) {
    kill(-1, SIGKILL);
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) continue;
    if (pid < 0) return;
    if (now_us() > deadline) refuse("processes of the run survive SIGKILL");
    struct pollfd ended = {child_signals, POLLIN, 0};
    if (poll(&ended, 1, 10) > 0) clear_child_signals();
  }
}
