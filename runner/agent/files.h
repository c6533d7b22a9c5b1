/* The files of a run: what comes from the host before it, what goes there after it, and what it leaves behind. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#define WORK_FOLDER "/box/work"
extern const char *const writable_folders[2];

/* Takes the current frame, a file. */
void write_file(void);

/* Returns whether all of it was sent: it is there and not larger than allowed. No process can change it any more. */
int send_artifact(char *path, uid_t user, uint32_t max_bytes);

/* Removes what these users made, 0: none. Fails the agent where something stays. */
void empty_writable_folders(const uid_t users[2]);
