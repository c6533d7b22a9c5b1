/* A run while it is made: its output is passed on, its input handed over, and its limits are kept. */
#pragma once

#include <stdint.h>

#include "meters.h"
#include "processes.h"

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

/* Returns when the run's first process has ended: by itself, or as it was killed at a limit. */
void serve(struct run *run);

/* To be called when all processes of the run have ended: passes on the rest of their output. */
void drain(struct run *run);
