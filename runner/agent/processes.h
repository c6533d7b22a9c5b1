/* Starting the processes of a run, and ending all of them. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

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

/* Fails the agent where it cannot; a program that cannot be executed ends with 126 or 127, and says why on its stderr. */
struct process start(const struct launch *launch);

/* Kills all processes but the agent, and returns when none is left. */
void kill_all_and_reap(void);

/* To be called once, before the first process is started. */
void watch_children(void);
/* Readable when a child has ended, until the signals are cleared; children are to be waited for after that. */
int child_signals_descriptor(void);
void clear_child_signals(void);
