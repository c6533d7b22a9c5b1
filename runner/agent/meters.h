/* Clocks, and what the processes of a run use: by the container's own cgroup, else by /proc. */
#pragma once

#include <stdint.h>

struct usage {
  uint64_t cpu_us;
  uint64_t memory; /* Bytes. */
  uint64_t processes;
};

/* Counters that only grow, as they stand at the start of a run. */
struct counters {
  uint64_t memory_peak, limit_hits, oom_kills, process_refusals;
};

/* Looks whether the container has a cgroup of its own; before that, and without one, /proc is sampled. */
void find_cgroup(void);
int has_cgroup(void);

/* Of all processes but the agent. */
struct usage read_usage(void);

/* Zeros without a cgroup. */
struct counters read_counters(void);

/* Asks the cgroup, which has to be there. */
uint64_t reclaimable_bytes(void);

/* Highest number of processes that the container itself allows beside the agent; 0: not known. */
uint64_t container_processes(void);

uint64_t now_us(void);

/* The difference, where it is one; else 0. */
uint64_t less(uint64_t value, uint64_t taken_off);
