#define _GNU_SOURCE
#include "descriptors.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frames.h"

void make_pipe(int *read_end, int *write_end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail("pipe");
  *read_end = ends[0];
  *write_end = ends[1];
}

/*
 * For more than most runs may write: Node keeps in its memory what a full pipe does not take, and a flood would end at the memory limit
 * instead of that of output. Where there is no room for it, the pipe stays as it is.
 */
void widen_pipe(int end) {
  if (end >= 0) fcntl(end, F_SETPIPE_SZ, 256 * 1024);
}

void make_socket_pair(int ends[2]) {
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("socket");
}

void close_once(int *descriptor) {
  if (*descriptor >= 0) close(*descriptor);
  *descriptor = -1;
}
