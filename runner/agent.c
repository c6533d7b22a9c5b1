/*
 * The agent: first process of every sandbox. It takes files and runs from its standard input and answers on its standard output;
 * when its input ends, it ends, and with the first process of a process namespace all others.
 *
 * Frames, both ways: type (1 byte), length of the payload (u32), payload. Numbers are big endian. A "block" is a u32 length and as many
 * bytes; an argument list is a block of strings that each end with a NUL. The other side is src/sandbox/agent-protocol.ts.
 *
 * In:   'F' file     flags u8 (1 executable, 2 only for the group), group u32, path block, content (the rest)
 *       'B' boot     user u32, processes u32, file bytes u64, memory bytes u64, arguments block: starts an interpreter that waits for its program
 *       'R' run      user u32, peer's user u32, flags u8 (1: in the booted interpreter), wall ms u32, CPU ms u32, memory bytes u64,
 *                    processes u32, output bytes u32, file bytes u64, report bytes u32, artifact bytes u32; blocks: arguments,
 *                    peer's arguments (empty: none), artifact's path below /tmp (empty: none), standard input
 * Out:  'S' started  the agent is there
 *       'B' booted   u8: whether the interpreter waits
 *       'O' output   stream u8 (1 stdout, 2 stderr, 3 report, 4 peer's stdout and stderr), bytes; while the run is made
 *       'A' artifact bytes, in pieces; before the result
 *       'R' result   status u8 (enum status), flags u8 (1 report cut, 2 artifact sent, 4 process limit hit), exit code u32, signal u32,
 *                    wall us u64, CPU us u64, memory peak bytes u64
 *       'E' error    text: the agent's own trouble; it ends
 *
 * It runs as the sandbox's root with no capability but SETUID, SETGID and KILL. Every process of a run gets a user of its own, so it can
 * neither signal nor read the agent, nor open its descriptors. Where only one user is mapped (bubblewrap started by an ordinary user)
 * they share it: student code can then stop the agent or forge its answer.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORK_FOLDER "/box/work"
static const char *const writable_folders[] = {"/tmp", "/dev/shm"};

enum { CHUNK_BYTES = 64 * 1024, MAX_PATH_BYTES = 4096, MAX_ARGUMENTS = 4096, MAX_OPEN_FILES = 512 };
/* Samples come quickly at first, when most programs grow, and then often enough to end a run within a hundredth of its limits. */
enum { FIRST_SAMPLE_US = 1000, LONGEST_SAMPLE_US = 20000 };
enum { BOOT_TIMEOUT_MS = 20000, KILL_TIMEOUT_US = 10 * 1000 * 1000 };
/* A net where no cgroup holds memory. Node reserves over 500 MB that it never touches. */
static const uint64_t data_limit_slack = 2ull << 30;

enum status { EXITED, SIGNALLED, WALL_TIME_LIMIT, CPU_TIME_LIMIT, MEMORY_LIMIT, OUTPUT_LIMIT };
enum { STDOUT = 1, STDERR, REPORT, PEER };
enum { FILE_EXECUTABLE = 1, FILE_FOR_GROUP = 2, RUN_BOOTED = 1, REPORT_CUT = 1, ARTIFACT_SENT = 2, PROCESS_LIMIT_HIT = 4 };

static int from_host, to_host, child_signals;
/* Where only one user is mapped there is nobody to switch to. */
static int can_switch_users;
static int parent_death_signal;

/* ---- Frames out: collected, so that a short run is one write ---- */

static unsigned char outgoing[2 * CHUNK_BYTES];
static size_t outgoing_length;

static void flush_frames(void) {
  for (size_t sent = 0; sent < outgoing_length;) {
    ssize_t written = write(to_host, outgoing + sent, outgoing_length - sent);
    if (written < 0 && errno == EINTR) continue;
    /* The memory of a process that was just killed is on its way back. */
    if (written < 0 && errno == ENOMEM && poll(NULL, 0, 1) == 0) continue;
    if (written < 0) _exit(1); /* Nobody listens any more. */
    sent += written;
  }
  outgoing_length = 0;
}

static void put(const void *bytes, size_t length) {
  memcpy(outgoing + outgoing_length, bytes, length);
  outgoing_length += length;
}

static void put_number(uint64_t value, int bytes) {
  while (bytes-- > 0) outgoing[outgoing_length++] = value >> (8 * bytes);
}

/* `length` is at most CHUNK_BYTES and a little. */
static void begin_frame(char type, uint32_t length) {
  if (outgoing_length + 5 + length > sizeof outgoing) flush_frames();
  put_number(type, 1);
  put_number(length, 4);
}

static void fail(const char *what) {
  char text[256];
  int length = snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
  begin_frame('E', length);
  put(text, length);
  flush_frames();
  _exit(1);
}

static void refuse(const char *what) {
  errno = EBADMSG;
  fail(what);
}

/* ---- Frames in ---- */

static unsigned char incoming[CHUNK_BYTES];
static size_t incoming_start, incoming_end;
static uint32_t frame_left;

/* Takes what is there of the current frame, at most `length` bytes; ends the agent where the input ends. */
static size_t take_some(void *target, size_t length) {
  while (incoming_start == incoming_end) {
    ssize_t got = read(from_host, incoming, sizeof incoming);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) _exit(0);
    incoming_start = 0;
    incoming_end = got;
  }
  if (length > incoming_end - incoming_start) length = incoming_end - incoming_start;
  memcpy(target, incoming + incoming_start, length);
  incoming_start += length;
  return length;
}

static void take(void *target, size_t length) {
  if (length > frame_left) refuse("frame");
  frame_left -= length;
  for (char *next = target; length > 0;) {
    size_t got = take_some(next, length);
    next += got;
    length -= got;
  }
}

static uint64_t take_number(int bytes) {
  unsigned char raw[8];
  uint64_t value = 0;
  take(raw, bytes);
  for (int i = 0; i < bytes; i++) value = value << 8 | raw[i];
  return value;
}

/* A block with a NUL behind it; to be freed. */
static char *take_block(uint32_t *length) {
  *length = take_number(4);
  if (*length > frame_left) refuse("block");
  char *bytes = malloc((size_t)*length + 1);
  if (bytes == NULL) fail("memory");
  take(bytes, *length);
  bytes[*length] = 0;
  return bytes;
}

/* An argument list that points into `block`; null where it is empty. To be freed, before the block. */
static char **split_arguments(char *block, uint32_t length) {
  if (length == 0) return NULL;
  char **arguments = calloc(MAX_ARGUMENTS + 1, sizeof *arguments);
  if (arguments == NULL) fail("memory");
  int count = 0;
  for (char *next = block; next < block + length; next += strlen(next) + 1) {
    if (count == MAX_ARGUMENTS) refuse("arguments");
    arguments[count++] = next;
  }
  return arguments;
}

/* ---- Reading what the kernel tells ---- */

static uint64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000ull + now.tv_nsec / 1000;
}

static uint64_t time_us(struct timeval time) { return time.tv_sec * 1000000ull + time.tv_usec; }

static uint64_t rusage_us(int who) {
  struct rusage usage;
  getrusage(who, &usage);
  return time_us(usage.ru_utime) + time_us(usage.ru_stime);
}

static uint64_t process_us(pid_t pid) {
  clockid_t clock;
  struct timespec time;
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
  return time.tv_sec * 1000000ull + time.tv_nsec / 1000;
}

/* The text of a small file of the kernel's; false where it cannot be read, such as that of a process that has ended. */
static int read_text(const char *path, char *text, size_t size) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return 0;
  size_t length = 0;
  for (ssize_t got; length < size - 1 && (got = read(descriptor, text + length, size - 1 - length)) > 0;) length += got;
  close(descriptor);
  text[length] = 0;
  return length > 0;
}

/*
 * The same for a cgroup's file, which stays open: the kernel keeps the buffer of an open one. With a new buffer, and memory at its limit,
 * the agent would have the next process killed while the last one is still ending, and none but itself may be left.
 */
static int read_cgroup_text(const char *path, char *text, size_t size) {
  static struct { const char *path; int descriptor; } kept[16];
  size_t i = 0;
  while (kept[i].path != path && kept[i].path != NULL) i++;
  if (kept[i].path == NULL) {
    if (i == sizeof kept / sizeof *kept - 1) refuse("cgroup files");
    kept[i].path = path;
    kept[i].descriptor = open(path, O_RDONLY | O_CLOEXEC);
  }
  if (kept[i].descriptor < 0) return 0;
  size_t length = 0;
  for (ssize_t got; length < size - 1 && (got = pread(kept[i].descriptor, text + length, size - 1 - length, length)) > 0;) length += got;
  text[length] = 0;
  return length > 0;
}

/* The number behind `key` at the start of a line; 0 where there is none. */
static uint64_t number_of(const char *text, const char *key) {
  size_t length = strlen(key);
  for (const char *line = text; line != NULL && *line != 0; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (strncmp(line, key, length) == 0) return strtoull(line + length, NULL, 10);
  }
  return 0;
}

static uint64_t read_number(const char *path, const char *key) {
  char text[8192];
  if (path == NULL || !read_cgroup_text(path, text, sizeof text)) return 0;
  return key == NULL ? strtoull(text, NULL, 10) : number_of(text, key);
}

/* ---- Meters ---- */

static uint64_t less(uint64_t value, uint64_t taken_off) { return value > taken_off ? value - taken_off : 0; }

/* Where the container's own cgroup tells what it uses; version 1 has a folder for each kind. */
struct cgroup {
  const char *cpu, *cpu_key;
  uint64_t cpu_unit_ns;
  const char *memory, *memory_peak, *memory_stat, *oom_kills, *limit_hits, *limit_hits_key, *processes, *processes_max, *processes_events;
};
static const struct cgroup versions[] = {
    {"/sys/fs/cgroup/cpuacct/cpuacct.usage", NULL, 1, "/sys/fs/cgroup/memory/memory.usage_in_bytes",
     "/sys/fs/cgroup/memory/memory.max_usage_in_bytes", "/sys/fs/cgroup/memory/memory.stat",
     "/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory/memory.failcnt", NULL, "/sys/fs/cgroup/pids/pids.current",
     "/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/pids/pids.events"},
    {"/sys/fs/cgroup/cpu.stat", "usage_usec ", 1000, "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.peak",
     "/sys/fs/cgroup/memory.stat", "/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory.events", "max ",
     "/sys/fs/cgroup/pids.current", "/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids.events"},
};
/* Null where there is none: then /proc is sampled. The machine's own, at the root of version 2, has no `memory`. */
static const struct cgroup *cgroup;

struct usage {
  uint64_t cpu_us;
  uint64_t memory;
  uint64_t processes;
};

/* Counters that only grow, as they stand at the start of a run. */
struct counters {
  uint64_t memory_peak, limit_hits, oom_kills, process_refusals;
};

static struct counters read_counters(void) {
  struct counters counters = {0};
  if (cgroup == NULL) return counters;
  counters.memory_peak = read_number(cgroup->memory_peak, NULL);
  counters.limit_hits = read_number(cgroup->limit_hits, cgroup->limit_hits_key);
  counters.oom_kills = read_number(cgroup->oom_kills, "oom_kill ");
  counters.process_refusals = read_number(cgroup->processes_events, "max ");
  return counters;
}

/*
 * What the kernel would take back before it kills: pages of files, and in version 2, which tells it, their names. Whoever reads the
 * files of the image first would otherwise pay for all others.
 */
static uint64_t reclaimable_bytes(void) {
  char text[8192];
  if (!read_cgroup_text(cgroup->memory_stat, text, sizeof text)) return 0;
  return number_of(text, "inactive_file ") + number_of(text, "active_file ") + number_of(text, "slab_reclaimable ");
}

/* Counts exactly, also what nobody waited for. The agent's own time is taken off. */
static struct usage cgroup_usage(void) {
  uint64_t all = read_number(cgroup->memory, NULL), reclaimable = reclaimable_bytes();
  uint64_t cpu_us = read_number(cgroup->cpu, cgroup->cpu_key) * cgroup->cpu_unit_ns / 1000, own_us = rusage_us(RUSAGE_SELF);
  return (struct usage){
      .cpu_us = less(cpu_us, own_us),
      .memory = less(all, reclaimable),
      .processes = less(read_number(cgroup->processes, NULL), 1),
  };
}

/* Pages and names below the writable folders and detached System V segments: memory that no process shows as its own. */
static uint64_t kernel_held_bytes(void) {
  const uint64_t bytes_per_name = 1024; /* Measured, of an empty file on a tmpfs. */
  uint64_t bytes = 0;
  for (size_t i = 0; i < sizeof writable_folders / sizeof *writable_folders; i++) {
    struct statfs stats;
    if (statfs(writable_folders[i], &stats) != 0) continue;
    bytes += (stats.f_blocks - stats.f_bfree) * stats.f_bsize + (stats.f_files - stats.f_ffree) * bytes_per_name;
  }
  char text[8192];
  if (!read_text("/proc/sysvipc/shm", text, sizeof text)) return bytes;
  for (char *line = strchr(text, '\n'); line != NULL && line[1] != 0; line = strchr(line + 1, '\n')) {
    unsigned long long resident;
    if (sscanf(line + 1, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &resident) == 1) bytes += resident;
  }
  return bytes;
}

/*
 * Samples all processes but the agent. Memory shared between processes counts once per process, and what comes and goes between two
 * samples is missed. CPU time is exact for all that was waited for, by the agent as the last parent of all; only children whose parent
 * ignores SIGCHLD vanish without having been counted.
 */
static struct usage proc_usage(void) {
  struct usage usage = {.cpu_us = rusage_us(RUSAGE_CHILDREN), .memory = kernel_held_bytes()};
  const uint64_t tick_us = 1000000 / sysconf(_SC_CLK_TCK);
  DIR *processes = opendir("/proc");
  if (processes == NULL) return usage;
  for (struct dirent *entry; (entry = readdir(processes)) != NULL;) {
    char path[64], text[8192];
    int pid = atoi(entry->d_name);
    if (pid <= 1) continue;
    /* Its own time to the microsecond, that of the children it waited for in ticks. */
    usage.cpu_us += process_us(pid);
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    /* The second field, the name, may contain spaces and brackets. */
    char *fields = read_text(path, text, sizeof text) ? strrchr(text, ')') : NULL;
    unsigned long long user, system;
    const char *format = " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %llu %llu";
    if (fields != NULL && sscanf(fields + 1, format, &user, &system) == 2) usage.cpu_us += (user + system) * tick_us;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (!read_text(path, text, sizeof text)) continue;
    usage.memory += (number_of(text, "RssAnon:") + number_of(text, "RssShmem:")) * 1024;
    usage.processes += number_of(text, "Threads:");
  }
  closedir(processes);
  return usage;
}

static struct usage read_usage(void) { return cgroup == NULL ? proc_usage() : cgroup_usage(); }

/* ---- Files in ---- */

/* Changing any identity takes off the parent death signal, by which bubblewrap ends a sandbox whose starter is killed. */
static void access_files_as(uid_t user, gid_t group) {
  if (!can_switch_users) return;
  /* As root first and last: nobody else may choose a group. By the effective ids, as gVisor knows none of files alone. */
  if (seteuid(0) != 0 || setegid(group) != 0 || seteuid(user) != 0) fail("identity");
  if (parent_death_signal != 0) prctl(PR_SET_PDEATHSIG, parent_death_signal);
}

static void check_path(const char *path, uint32_t length) {
  if (length == 0 || length >= MAX_PATH_BYTES || strlen(path) != length) refuse("path");
  for (const char *segment = path;; segment++) {
    size_t size = strcspn(segment, "/");
    if (size == 0 || strncmp(segment, ".", size) == 0 || (size == 2 && strncmp(segment, "..", 2) == 0)) refuse("path");
    segment += size;
    if (*segment == 0) return;
  }
}

static int empty_folder(const char *folder);

/*
 * Files belong to root, and so does every folder below the work folder: nothing there can have been prepared by a student. Where agent
 * and student share a user it can, and what lies at the path gives way.
 *
 * A file for one group is in no other user's reach: the agent may not give files away (CHOWN), but may make them as another group.
 */
static void write_file(void) {
  char target[sizeof WORK_FOLDER + MAX_PATH_BYTES];
  unsigned flags = take_number(1);
  gid_t group = take_number(4);
  uint32_t length;
  char *path = take_block(&length);
  check_path(path, length);
  snprintf(target, sizeof target, "%s/%s", WORK_FOLDER, path);
  free(path);

  int is_private = (flags & FILE_FOR_GROUP) != 0;
  mode_t mode = is_private ? 0640 : 0644;
  if (flags & FILE_EXECUTABLE) mode |= is_private ? 0110 : 0111;
  if (is_private) access_files_as(0, group);
  for (char *slash = target + sizeof WORK_FOLDER; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
    *slash = 0;
    if (mkdir(target, is_private ? 0750 : 0755) != 0 && errno != EEXIST) fail("folder");
  }
  if (!can_switch_users && unlink(target) != 0 && errno == EISDIR) {
    empty_folder(target);
    rmdir(target);
  }
  int descriptor = open(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  if (descriptor < 0) fail("file");
  if (is_private) access_files_as(0, 0);
  while (frame_left > 0) {
    unsigned char chunk[CHUNK_BYTES];
    size_t size = frame_left < sizeof chunk ? frame_left : sizeof chunk;
    take(chunk, size);
    for (size_t done = 0; done < size;) {
      ssize_t written = write(descriptor, chunk + done, size - done);
      if (written <= 0) fail("file");
      done += written;
    }
  }
  close(descriptor);
}

/* ---- Processes ---- */

struct process {
  pid_t pid;
  uid_t user;
  /* The agent's ends; -1 where there is none, or it is closed. */
  int input, output, errors, report, control;
};

struct launch {
  char **arguments;
  uid_t user;
  uint64_t processes, file_bytes, memory_bytes;
  uint32_t cpu_ms; /* 0: no net. */
  int has_input, has_control, shares_output;
  int peer_socket; /* -1: none; else it becomes descriptor 3, and the report moves to 4. */
  int has_report;
};

static void limit(int resource, uint64_t value) {
  struct rlimit both = {value, value};
  setrlimit(resource, &both);
}

/* Highest number of processes that the container itself allows beside the agent; 0: not known. */
static uint64_t container_processes(void) {
  static uint64_t known;
  if (known == 0 && cgroup != NULL) known = less(read_number(cgroup->processes_max, NULL), 1);
  return known;
}

/*
 * Nets, where the meters decide: CPU seconds are rounded up, and one more. Of the two limits on processes the cgroup's is the one that
 * counts refusals, so the user's own is a process wider where both are the same; also where the agent is one of that user's.
 */
static void set_limits(const struct launch *launch) {
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_NOFILE, MAX_OPEN_FILES);
  limit(RLIMIT_FSIZE, launch->file_bytes);
  limit(RLIMIT_NPROC, launch->processes + (launch->processes == container_processes() || !can_switch_users));
  if (launch->cpu_ms != 0) limit(RLIMIT_CPU, launch->cpu_ms / 1000 + 2);
  if (cgroup == NULL) limit(RLIMIT_DATA, launch->memory_bytes + data_limit_slack);
}

/* The kernel's out-of-memory killer takes the student's processes before the agent. */
static void volunteer_for_oom_kill(void) {
  if (!can_switch_users) prctl(PR_SET_DUMPABLE, 1); /* Or the file belongs to a root that is not mapped. */
  int descriptor = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  if (write(descriptor, "1000", 4) < 0) _exit(126);
  close(descriptor);
}

static void become(uid_t user) {
  if (!can_switch_users) return;
  if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0) _exit(126);
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

static void make_pipe(int *read_end, int *write_end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail("pipe");
  *read_end = ends[0];
  *write_end = ends[1];
}

/*
 * For more than most runs may write: Node keeps in its memory what a full pipe does not take, and a flood would end at the memory limit
 * instead of that of output. Where there is no room for it, the pipe stays as it is.
 */
static void widen_pipe(int end) {
  if (end >= 0) fcntl(end, F_SETPIPE_SZ, 256 * 1024);
}

static void make_socket_pair(int ends[2]) {
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("socket");
}

static void close_once(int *descriptor) {
  if (*descriptor >= 0) close(*descriptor);
  *descriptor = -1;
}

static struct process start(const struct launch *launch) {
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

/*
 * One call of the kernel reaches every process but the first one, so a fork bomb cannot outrun it. All orphans are the agent's, so
 * nothing is left when it has no child any more.
 */
static void kill_all_and_reap(void) {
  uint64_t deadline = now_us() + KILL_TIMEOUT_US;
  for (;;) {
    kill(-1, SIGKILL);
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) continue;
    if (pid < 0) return;
    if (now_us() > deadline) refuse("processes of the run survive SIGKILL");
    struct pollfd ended = {child_signals, POLLIN, 0};
    struct signalfd_siginfo info;
    if (poll(&ended, 1, 10) > 0 && read(child_signals, &info, sizeof info) < 0 && errno != EAGAIN) fail("signals");
  }
}

/* ---- Emptying the writable folders ---- */

static int is_dot(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

static int is_empty(const char *folder) {
  DIR *listing = opendir(folder);
  if (listing == NULL) return 0;
  struct dirent *entry;
  do entry = readdir(listing);
  while (entry != NULL && is_dot(entry->d_name));
  closedir(listing);
  return entry == NULL;
}

/*
 * Removes all that this user may remove. What lies in a folder of the folder is lifted up into the folder itself first, so that no depth
 * of a tree, nor length of a path, is too much. Returns whether anything was removed.
 */
static int empty_folder(const char *folder) {
  static unsigned lifted;
  int has_removed = 0, has_changed = 1;
  int top = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  while (has_changed) {
    has_changed = 0;
    DIR *listing = opendir(folder);
    if (top < 0 || listing == NULL) break;
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
      if (is_dot(entry->d_name)) continue;
      int inner = openat(top, entry->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (inner >= 0) {
        fchmodat(top, entry->d_name, 0777, 0);
        int readable = openat(top, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *inside = readable < 0 ? NULL : fdopendir(readable);
        for (struct dirent *child; inside != NULL && (child = readdir(inside)) != NULL;) {
          char name[32];
          if (is_dot(child->d_name) || unlinkat(inner, child->d_name, 0) == 0) continue;
          snprintf(name, sizeof name, ".lifted-%u", lifted++);
          fchmodat(inner, child->d_name, 0777, 0);
          if (renameat(inner, child->d_name, top, name) == 0) has_changed = 1;
        }
        if (inside != NULL) closedir(inside);
        close(inner);
      }
      if (unlinkat(top, entry->d_name, inner >= 0 ? AT_REMOVEDIR : 0) == 0) has_changed = has_removed = 1;
    }
    closedir(listing);
  }
  if (top >= 0) close(top);
  return has_removed;
}

static int are_writable_folders_empty(void) { return is_empty(writable_folders[0]) && is_empty(writable_folders[1]); }

/* By the run's own users: the agent is root without the right to enter other users' folders. Each may open a way for the other. */
static void empty_writable_folders(const uid_t users[2]) {
  for (int has_progress = 1; !are_writable_folders_empty(); ) {
    if (!has_progress) refuse("files of the run cannot be removed");
    has_progress = 0;
    for (int i = 0; i < 2 && users[i] != 0; i++) {
      int outcome;
      pid_t pid = fork();
      if (pid < 0) fail("fork");
      if (pid == 0) {
        become(users[i]);
        int has_removed = empty_folder(writable_folders[0]);
        _exit(empty_folder(writable_folders[1]) || has_removed);
      }
      if (waitpid(pid, &outcome, 0) == pid && outcome != 0) has_progress = 1;
    }
  }
}

/* ---- The artifact ---- */

/* A regular file below /tmp, opened with the rights of the run's user and through no link; -1 where there is none. */
static int open_artifact(char *path, uid_t user) {
  access_files_as(user, user);
  int descriptor = open(writable_folders[0], O_PATH | O_DIRECTORY | O_CLOEXEC);
  for (char *segment = strtok(path, "/"); segment != NULL && descriptor >= 0;) {
    char *next = strtok(NULL, "/");
    int flags = next == NULL ? O_RDONLY | O_NONBLOCK : O_PATH | O_DIRECTORY;
    int inner = openat(descriptor, segment, flags | O_NOFOLLOW | O_CLOEXEC);
    close(descriptor);
    descriptor = inner;
    segment = next;
  }
  access_files_as(0, 0);
  struct stat stats;
  if (descriptor >= 0 && (fstat(descriptor, &stats) != 0 || !S_ISREG(stats.st_mode))) close_once(&descriptor);
  return descriptor;
}

/* Returns whether all of it was sent: it is there and not larger than allowed. No process can change it any more. */
static int send_artifact(char *path, uid_t user, uint32_t max_bytes) {
  static unsigned char chunk[CHUNK_BYTES];
  struct stat stats;
  int descriptor = open_artifact(path, user);
  if (descriptor < 0) return 0;
  int fits = fstat(descriptor, &stats) == 0 && (uint64_t)stats.st_size <= max_bytes;
  for (ssize_t got; fits && (got = read(descriptor, chunk, sizeof chunk)) > 0;) {
    begin_frame('A', got);
    put(chunk, got);
  }
  close(descriptor);
  return fits;
}

/* ---- Runs ---- */

struct channel {
  int *descriptor;
  int stream;
  uint64_t max_bytes, bytes;
};

struct run {
  struct process main, peer;
  struct channel channels[4];
  struct launch launch;
  uint64_t wall_us, cpu_us, memory_bytes;
  char *input;
  uint32_t input_length, input_sent;
  uint64_t started_at, sample_at, sample_interval;
  struct usage start;
  uint64_t memory_peak;
  uint64_t resident_peak; /* Of the largest process that was waited for, with its pages of files. */
  int limit_hit; /* enum status; EXITED: none. */
  int process_limit_hit, report_cut, main_ended, main_status;
};

/* An interpreter that waits for its program; pid 0: none. */
static struct process booted;
static uint64_t booted_bytes;

static void stop(struct run *run, enum status status) {
  if (run->limit_hit == EXITED) run->limit_hit = status;
  kill(-1, SIGKILL);
}

/* Sends what is within the limit; the rest is read and dropped, so that a writer is not blocked before it is killed. */
static void forward(struct run *run, struct channel *channel) {
  static unsigned char chunk[CHUNK_BYTES];
  ssize_t got = read(*channel->descriptor, chunk, sizeof chunk);
  if (got < 0 && errno == EINTR) return;
  if (got <= 0) {
    close_once(channel->descriptor);
    return;
  }
  uint64_t room = less(channel->max_bytes, channel->bytes), sent = (uint64_t)got < room ? (uint64_t)got : room;
  channel->bytes += got;
  if (sent > 0) {
    begin_frame('O', 1 + sent);
    put_number(channel->stream, 1);
    put(chunk, sent);
  }
  if (channel->bytes <= channel->max_bytes) return;
  if (channel->stream == REPORT) run->report_cut = 1;
  else stop(run, OUTPUT_LIMIT);
}

/* A run that ends, or closes its input, before it has read all of it is no trouble. */
static void feed(struct run *run) {
  ssize_t written = write(run->main.input, run->input + run->input_sent, run->input_length - run->input_sent);
  if (written > 0) run->input_sent += written;
  if ((written < 0 && errno != EAGAIN && errno != EINTR) || run->input_sent == run->input_length) close_once(&run->main.input);
}

static void sample(struct run *run) {
  static long cores;
  if (cores == 0) cores = sysconf(_SC_NPROCESSORS_ONLN);
  struct usage usage = read_usage();
  uint64_t memory = less(usage.memory, run->start.memory), cpu_us = less(usage.cpu_us, run->start.cpu_us);
  if (memory > run->memory_peak) run->memory_peak = memory;
  /* Where the container's own limit is the run's, refusals are counted; else a run that is at its limit is taken to want more. */
  int is_counted = run->launch.processes == container_processes();
  if (!is_counted && usage.processes >= run->launch.processes) run->process_limit_hit = 1;
  if (memory > run->memory_bytes) stop(run, MEMORY_LIMIT);
  else if (cpu_us > run->cpu_us) stop(run, CPU_TIME_LIMIT);

  /* Earlier where the CPU time could be used up before. */
  uint64_t left_us = less(run->cpu_us, cpu_us) / cores + FIRST_SAMPLE_US;
  run->sample_at = now_us() + (left_us < run->sample_interval ? left_us : run->sample_interval);
  run->sample_interval *= 2;
  if (run->sample_interval > LONGEST_SAMPLE_US) run->sample_interval = LONGEST_SAMPLE_US;
  flush_frames();
}

static void reap(struct run *run) {
  struct signalfd_siginfo info;
  if (read(child_signals, &info, sizeof info) < 0 && errno != EAGAIN) fail("signals");
  int status;
  struct rusage used;
  for (pid_t pid; (pid = wait4(-1, &status, WNOHANG, &used)) > 0;) {
    uint64_t most = used.ru_maxrss * 1024ull;
    if (most > run->resident_peak) run->resident_peak = most;
    if (pid != run->main.pid) continue;
    run->main_ended = 1;
    run->main_status = status;
  }
}

static void serve(struct run *run) {
  struct pollfd polled[7];
  uint64_t wall_deadline = run->started_at + run->wall_us;
  while (!run->main_ended) {
    uint64_t now = now_us(), next = run->sample_at < wall_deadline ? run->sample_at : wall_deadline;
    polled[0] = (struct pollfd){child_signals, POLLIN, 0};
    polled[1] = (struct pollfd){from_host, POLLRDHUP, 0};
    polled[2] = (struct pollfd){run->main.input, POLLOUT, 0};
    for (int i = 0; i < 4; i++) {
      struct channel *channel = &run->channels[i];
      polled[3 + i] = (struct pollfd){channel->descriptor == NULL ? -1 : *channel->descriptor, POLLIN, 0};
    }
    struct timespec timeout = {.tv_nsec = less(next, now) * 1000};
    if (timeout.tv_nsec >= 1000000000) timeout = (struct timespec){.tv_sec = 1};
    if (ppoll(polled, 7, &timeout, NULL) < 0 && errno != EINTR) fail("poll");
    if (polled[1].revents & (POLLHUP | POLLRDHUP | POLLERR)) _exit(0); /* The host has gone: nobody wants the result. */
    for (int i = 0; i < 4; i++) {
      if (polled[3 + i].revents != 0) forward(run, &run->channels[i]);
    }
    if (polled[2].revents != 0) feed(run);
    if (polled[0].revents != 0) reap(run);
    if (run->main_ended) return;
    now = now_us();
    if (now >= wall_deadline) {
      stop(run, WALL_TIME_LIMIT);
      wall_deadline = UINT64_MAX;
    }
    if (now >= run->sample_at) sample(run);
  }
}

/*
 * What was written before the end; no process is left that could write more. Yet there may be no end of file: a writing end can be on its
 * way between two sockets that hold each other, which are not freed before some socket of the machine is closed.
 */
static void drain(struct run *run) {
  int ends[2];
  make_socket_pair(ends);
  for (int i = 0; i < 2; i++) close(ends[i]);
  for (int i = 0; i < 4; i++) {
    struct channel *channel = &run->channels[i];
    if (channel->descriptor != NULL && *channel->descriptor >= 0) fcntl(*channel->descriptor, F_SETFL, O_NONBLOCK);
    while (channel->descriptor != NULL && *channel->descriptor >= 0) forward(run, channel);
  }
}

/*
 * What no sample saw. Without a cgroup, what a process grew to after the last one. With one, the kernel's own mark of the highest use, which
 * tells of this run if it has risen: it counts pages of files, of which those still there are taken off; where the container's limit was
 * reached, others were dropped before, and the mark says nothing. A run that was over before the first sample, and below the mark of
 * an earlier one, took about what its processes had resident.
 */
static void consult_high_marks(struct run *run, const struct counters *before, const struct counters *after) {
  if (cgroup == NULL && run->resident_peak > run->memory_peak) run->memory_peak = run->resident_peak;
  if (cgroup != NULL && after->memory_peak > before->memory_peak && after->limit_hits == before->limit_hits) {
    uint64_t peak = less(less(after->memory_peak, reclaimable_bytes()), run->start.memory);
    if (peak > run->memory_peak) run->memory_peak = peak;
  }
  if (run->memory_peak == 0) run->memory_peak = run->resident_peak < run->memory_bytes ? run->resident_peak : run->memory_bytes;
}

static enum status status_of(const struct run *run, uint64_t cpu_us, uint64_t oom_kills) {
  /* The kernel may have killed a child only, and the first process ended as if nothing had happened. */
  if (oom_kills > 0 || run->memory_peak > run->memory_bytes) return MEMORY_LIMIT;
  if (run->limit_hit != EXITED) return run->limit_hit;
  if (cpu_us > run->cpu_us) return CPU_TIME_LIMIT;
  return WIFSIGNALED(run->main_status) ? SIGNALLED : EXITED;
}

/* Starts the run's processes, or hands its program to the interpreter that waits. */
static void start_processes(struct run *run, unsigned flags, char **peer_arguments, uid_t peer_user) {
  struct launch *launch = &run->launch;
  run->peer = (struct process){.input = -1, .output = -1, .errors = -1, .report = -1, .control = -1};
  int can_use_booted = (flags & RUN_BOOTED) && booted.pid > 0 && peer_arguments == NULL && launch->arguments[1] != NULL;
  if (can_use_booted && waitpid(booted.pid, NULL, WNOHANG) == 0) {
    run->main = booted;
    booted.pid = 0;
    run->start.memory = less(run->start.memory, booted_bytes);
    char *first = launch->arguments[1], *end = first;
    for (char **argument = launch->arguments + 1; *argument != NULL; argument++) end = *argument + strlen(*argument);
    if (write(run->main.control, first, end - first) < 0) fail("interpreter");
    close_once(&run->main.control);
    return;
  }
  int sockets[2] = {-1, -1};
  if (peer_arguments != NULL) {
    make_socket_pair(sockets);
    struct launch peer = *launch;
    peer.arguments = peer_arguments;
    peer.user = peer_user;
    peer.has_input = peer.has_report = 0;
    peer.shares_output = 1;
    peer.peer_socket = sockets[0];
    run->peer = start(&peer);
  }
  launch->peer_socket = sockets[1];
  run->main = start(launch);
}

static void send_result(const struct run *run, enum status status, uint64_t wall_us, uint64_t cpu_us, unsigned flags) {
  begin_frame('R', 2 + 2 * 4 + 3 * 8);
  put_number(status, 1);
  put_number(flags, 1);
  put_number(WIFEXITED(run->main_status) ? WEXITSTATUS(run->main_status) : 0, 4);
  put_number(WIFSIGNALED(run->main_status) ? WTERMSIG(run->main_status) : 0, 4);
  put_number(wall_us, 8);
  put_number(cpu_us, 8);
  put_number(run->memory_peak, 8);
  flush_frames();
}

static void make_run(void) {
  struct run run = {.sample_interval = FIRST_SAMPLE_US, .launch = {.peer_socket = -1, .has_report = 1}};
  struct launch *launch = &run.launch;
  launch->user = take_number(4);
  uid_t peer_user = take_number(4);
  unsigned flags = take_number(1);
  run.wall_us = take_number(4) * 1000;
  launch->cpu_ms = take_number(4);
  run.cpu_us = launch->cpu_ms * 1000ull;
  launch->memory_bytes = run.memory_bytes = take_number(8);
  launch->processes = take_number(4);
  uint64_t output_bytes = take_number(4);
  launch->file_bytes = take_number(8);
  uint64_t report_bytes = take_number(4), artifact_bytes = take_number(4);
  uint32_t arguments_length, peer_length, artifact_length;
  char *arguments_block = take_block(&arguments_length), *peer_block = take_block(&peer_length);
  char *artifact = take_block(&artifact_length);
  run.input = take_block(&run.input_length);
  launch->has_input = run.input_length > 0;
  launch->arguments = split_arguments(arguments_block, arguments_length);
  char **peer_arguments = split_arguments(peer_block, peer_length);
  if (launch->arguments == NULL) refuse("arguments");

  struct counters before = read_counters();
  run.start = read_usage();
  run.started_at = now_us();
  run.sample_at = run.started_at + run.sample_interval;
  start_processes(&run, flags, peer_arguments, peer_user);
  if (run.input_length == 0) close_once(&run.main.input);
  else fcntl(run.main.input, F_SETFL, O_NONBLOCK);
  run.channels[0] = (struct channel){&run.main.output, STDOUT, output_bytes, 0};
  run.channels[1] = (struct channel){&run.main.errors, STDERR, output_bytes, 0};
  run.channels[2] = (struct channel){&run.main.report, REPORT, report_bytes, 0};
  run.channels[3] = (struct channel){&run.peer.output, PEER, output_bytes, 0};
  serve(&run);
  uint64_t wall_us = now_us() - run.started_at;
  close_once(&run.main.input);
  kill_all_and_reap();
  booted.pid = 0;
  drain(&run);

  struct counters after = read_counters();
  uint64_t cpu_us = less(read_usage().cpu_us, run.start.cpu_us);
  consult_high_marks(&run, &before, &after);
  enum status status = status_of(&run, cpu_us, after.oom_kills - before.oom_kills);
  unsigned result_flags = run.report_cut ? REPORT_CUT : 0;
  if (run.process_limit_hit || after.process_refusals > before.process_refusals) result_flags |= PROCESS_LIMIT_HIT;
  int has_succeeded = status == EXITED && WEXITSTATUS(run.main_status) == 0;
  if (artifact_length > 0 && has_succeeded && send_artifact(artifact, run.main.user, artifact_bytes)) result_flags |= ARTIFACT_SENT;
  const uid_t users[2] = {run.main.user, peer_arguments == NULL ? 0 : peer_user};
  empty_writable_folders(users);
  send_result(&run, status, wall_us, cpu_us, result_flags);
  free(launch->arguments);
  free(peer_arguments);
  free(arguments_block);
  free(peer_block);
  free(artifact);
  free(run.input);
}

/* Started before the sandbox has any student's byte, and used once; the program that it becomes has its user, limits and pipes. */
static void boot(void) {
  struct launch launch = {.peer_socket = -1, .has_report = 1, .has_input = 1, .has_control = 1};
  launch.user = take_number(4);
  launch.processes = take_number(4);
  launch.file_bytes = take_number(8);
  launch.memory_bytes = take_number(8);
  uint32_t length;
  char *block = take_block(&length);
  launch.arguments = split_arguments(block, length);
  if (launch.arguments == NULL) refuse("arguments");
  uint64_t before = read_usage().memory;
  booted = start(&launch);
  char byte;
  struct pollfd control = {booted.control, POLLIN, 0};
  int is_ready = poll(&control, 1, BOOT_TIMEOUT_MS) > 0 && read(booted.control, &byte, 1) == 1;
  if (!is_ready) kill_all_and_reap();
  if (!is_ready) booted.pid = 0;
  booted_bytes = less(read_usage().memory, before);
  free(launch.arguments);
  free(block);
  begin_frame('B', 1);
  put_number(is_ready, 1);
  flush_frames();
}

/* Descriptors 0 to 4 are those of runs: the agent's own are elsewhere, so that none is overwritten while they are put in place. */
static void move_descriptors(void) {
  from_host = fcntl(0, F_DUPFD_CLOEXEC, 16);
  to_host = fcntl(1, F_DUPFD_CLOEXEC, 16);
  int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (from_host < 0 || to_host < 0 || nowhere < 0) _exit(1);
  for (int i = 0; i < 5; i++) {
    if (i != 2 && i != nowhere && dup3(nowhere, i, O_CLOEXEC) < 0) _exit(1);
  }
  fcntl(2, F_SETFD, FD_CLOEXEC);
}

int main(void) {
  prctl(PR_SET_DUMPABLE, 0);
  prctl(PR_GET_PDEATHSIG, &parent_death_signal);
  can_switch_users = geteuid() == 0;
  umask(022);
  move_descriptors();
  signal(SIGPIPE, SIG_IGN);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, NULL);
  child_signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  if (child_signals < 0) fail("signals");
  for (int i = 0; i < 2; i++) {
    if (access(versions[i].memory, R_OK) == 0 && access(versions[i].cpu, R_OK) == 0) cgroup = &versions[i];
  }
  if (mkdir(WORK_FOLDER, 0755) != 0 && errno != EEXIST) fail("work folder");
  begin_frame('S', 0);
  flush_frames();
  for (;;) {
    frame_left = 5;
    unsigned type = take_number(1);
    frame_left = 4;
    frame_left = take_number(4);
    switch (type) {
      case 'F': write_file(); break;
      case 'B': boot(); break;
      case 'R': make_run(); break;
      default: refuse("frame type");
    }
    if (frame_left != 0) refuse("frame");
  }
}
