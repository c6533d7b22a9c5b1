/* The interpreter that is started before there is a job, and waits for its program. */
#pragma once

#include <stdint.h>

#include "processes.h"

/* Takes the current frame, and answers when the interpreter waits, or will not. */
void boot(void);

/*
 * Hands over a program and its arguments, and tells which process has become the run's and how much memory it had taken before;
 * false where no interpreter waits.
 */
int hand_to_booted(char **program, struct process *process, uint64_t *bytes);

/* To be called when all processes were killed. */
void forget_booted(void);
