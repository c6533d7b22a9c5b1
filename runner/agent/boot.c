#include "boot.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "descriptors.h"
#include "frames.h"
#include "meters.h"

enum { BOOT_TIMEOUT_MS = 20000 };

/* An interpreter that waits for its program; pid 0: none. */
static struct process booted;
static uint64_t booted_bytes;

/* Started before the sandbox has any student's byte, and used once; the program that it becomes has its user, limits and pipes. */
void boot(void) {
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

int hand_to_booted(char **program, struct process *process, uint64_t *bytes) {
  if (booted.pid <= 0 || waitpid(booted.pid, NULL, WNOHANG) != 0) return 0;
  *process = booted;
  *bytes = booted_bytes;
  booted.pid = 0;
  char *first = program[0], *end = first;
  for (char **argument = program; *argument != NULL; argument++) end = *argument + strlen(*argument);
  if (write(process->control, first, end - first) < 0) fail("interpreter");
  close_once(&process->control);
  return 1;
}

void forget_booted(void) { booted.pid = 0; }
