#define _GNU_SOURCE
#include "frames.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_ARGUMENTS = 4096 };

static int from_host, to_host;

void move_descriptors(void) {
  from_host = fcntl(0, F_DUPFD_CLOEXEC, 16);
  to_host = fcntl(1, F_DUPFD_CLOEXEC, 16);
  int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (from_host < 0 || to_host < 0 || nowhere < 0) _exit(1);
  for (int i = 0; i < 5; i++) {
    if (i != 2 && i != nowhere && dup3(nowhere, i, O_CLOEXEC) < 0) _exit(1);
  }
  fcntl(2, F_SETFD, FD_CLOEXEC);
}

int host_descriptor(void) { return from_host; }

/* ---- Out ---- */

static unsigned char outgoing[2 * CHUNK_BYTES];
static size_t outgoing_length;

void flush_frames(void) {
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

void put(const void *bytes, size_t length) {
  memcpy(outgoing + outgoing_length, bytes, length);
  outgoing_length += length;
}

void put_number(uint64_t value, int bytes) {
  while (bytes-- > 0) outgoing[outgoing_length++] = value >> (8 * bytes);
}

void begin_frame(char type, uint32_t length) {
  if (outgoing_length + 5 + length > sizeof outgoing) flush_frames();
  put_number(type, 1);
  put_number(length, 4);
}

void fail(const char *what) {
  char text[256];
  int length = snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
  begin_frame('E', length);
  put(text, length);
  flush_frames();
  _exit(1);
}

void refuse(const char *what) {
  errno = EBADMSG;
  fail(what);
}

/* ---- In ---- */

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

unsigned begin_taking(void) {
  frame_left = 5;
  unsigned type = take_number(1);
  frame_left = 4;
  frame_left = take_number(4);
  return type;
}

void end_taking(void) {
  if (frame_left != 0) refuse("frame");
}

uint32_t left_in_frame(void) { return frame_left; }

void take(void *target, size_t length) {
  if (length > frame_left) refuse("frame");
  frame_left -= length;
  for (char *next = target; length > 0;) {
    size_t got = take_some(next, length);
    next += got;
    length -= got;
  }
}

uint64_t take_number(int bytes) {
  unsigned char raw[8];
  uint64_t value = 0;
  take(raw, bytes);
  for (int i = 0; i < bytes; i++) value = value << 8 | raw[i];
  return value;
}

char *take_block(uint32_t *length) {
  *length = take_number(4);
  if (*length > frame_left) refuse("block");
  char *bytes = malloc((size_t)*length + 1);
  if (bytes == NULL) fail("memory");
  take(bytes, *length);
  bytes[*length] = 0;
  return bytes;
}

char **split_arguments(char *block, uint32_t length) {
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
