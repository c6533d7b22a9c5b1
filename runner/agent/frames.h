/* Frames from and to the host (protocol.h), and the agent's end when one of them is not as it should be. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { CHUNK_BYTES = 64 * 1024 };

/* Descriptors 0 to 4 are those of runs: the agent's own are elsewhere, so that none is overwritten while they are put in place. */
void move_descriptors(void);

/* For poll: whether the host is still there. */
int host_descriptor(void);

/* ---- Out: collected, so that a short run is one write ---- */

/* The payload is put next, all `length` bytes of it: at most CHUNK_BYTES and a little. */
void begin_frame(char type, uint32_t length);
void put(const void *bytes, size_t length);
void put_number(uint64_t value, int bytes);
void flush_frames(void);

/* Tell the host, and end the agent: with what errno says, or because the host sent what the protocol does not have. */
_Noreturn void fail(const char *what);
_Noreturn void refuse(const char *what);

/* ---- In: each of these refuses to read beyond the end of the current frame ---- */

/* Waits for the next frame and returns its type; ends the agent where the input ends. */
unsigned begin_taking(void);
/* Refuses a frame of which something was not taken. */
void end_taking(void);
uint32_t left_in_frame(void);

void take(void *target, size_t length);
uint64_t take_number(int bytes);
/* A block with a NUL behind it; to be freed. */
char *take_block(uint32_t *length);
/* An argument list that points into `block`; null where it is empty. To be freed, before the block. */
char **split_arguments(char *block, uint32_t length);
