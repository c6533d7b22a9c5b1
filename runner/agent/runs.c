#include "runs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "boot.h"
#include "descriptors.h"
#include "files.h"
#include "frames.h"
#include "meters.h"
#include "processes.h"
#include "protocol.h"
#include "watch.h"

/*
 * What no sample saw. Without a cgroup, what a process grew to after the last one. With one, the kernel's own mark of the highest use, which
 * tells of this run if it has risen: it counts pages of files, of which those still there are taken off; where the container's limit was
 * reached, others were dropped before, and the mark says nothing. A run that was over before the first sample, and below the mark of
 * an earlier one, took about what its processes had resident.
 */
static void consult_high_marks(struct run *run, const struct counters *before, const struct counters *after) {
  if (!has_cgroup() && run->resident_peak > run->memory_peak) run->memory_peak = run->resident_peak;
  if (has_cgroup() && after->memory_peak > before->memory_peak && after->limit_hits == before->limit_hits) {
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
  uint64_t booted_bytes;
  int can_use_booted = (flags & RUN_BOOTED) && peer_arguments == NULL && launch->arguments[1] != NULL;
  if (can_use_booted && hand_to_booted(launch->arguments + 1, &run->main, &booted_bytes)) {
    run->start.memory = less(run->start.memory, booted_bytes);
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

void make_run(void) {
  struct run run = {.launch = {.peer_socket = -1, .has_report = 1}};
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
  forget_booted();
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
