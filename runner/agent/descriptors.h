/* Pipes and sockets between the agent and the processes of a run: all are closed when a process starts, but for those that it is given. */
#pragma once

/* Both fail the agent where there is none to be had. */
void make_pipe(int *read_end, int *write_end);
void make_socket_pair(int ends[2]);

void widen_pipe(int end);

/* Sets it to -1, so that the next time does nothing. */
void close_once(int *descriptor);
