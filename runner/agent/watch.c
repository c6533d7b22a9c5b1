#define _GNU_SOURCE
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "descriptors.h"
#include "frames.h"
#include "protocol.h"

/* Samples come quickly at first, when most programs grow, and then often enough to end a run within a hundredth of its limits. */
enum { FIRST_SAMPLE_US = 1000, LONGEST_SAMPLE_US = 20000 };

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
  clear_child_signals();
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

void serve(struct run *run) {
  struct pollfd polled[7];
  uint64_t wall_deadline = run->started_at + run->wall_us;
  run->sample_interval = FIRST_SAMPLE_US;
  run->sample_at = run->started_at + run->sample_interval;
  while (!run->main_ended) {
    uint64_t now = now_us(), next = run->sample_at < wall_deadline ? run->sample_at : wall_deadline;
    polled[0] = (struct pollfd){child_signals_descriptor(), POLLIN, 0};
    polled[1] = (struct pollfd){host_descriptor(), POLLRDHUP, 0};
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
void drain(struct run *run) {
  int ends[2];
  make_socket_pair(ends);
  for (int i = 0; i < 2; i++) close(ends[i]);
  for (int i = 0; i < 4; i++) {
    struct channel *channel = &run->channels[i];
    if (channel->descriptor != NULL && *channel->descriptor >= 0) fcntl(*channel->descriptor, F_SETFL, O_NONBLOCK);
    while (channel->descriptor != NULL && *channel->descriptor >= 0) forward(run, channel);
  }
}
