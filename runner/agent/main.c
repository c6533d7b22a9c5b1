/*
 * The agent: first process of every sandbox. It takes files and runs from its standard input and answers on its standard output
 * (protocol.h); when its input ends, it ends, and with the first process of a process namespace all others.
 *
 * It runs as the sandbox's root with no capability but SETUID, SETGID and KILL. Every process of a run gets a user of its own, so it can
 * neither signal nor read the agent, nor open its descriptors. Where only one user is mapped (bubblewrap started by an ordinary user)
 * they share it: student code can then stop the agent or forge its answer.
 */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "boot.h"
#include "files.h"
#include "frames.h"
#include "meters.h"
#include "processes.h"
#include "runs.h"
#include "users.h"

int main(void) {
  prctl(PR_SET_DUMPABLE, 0);
  learn_identity();
  umask(022);
  move_descriptors();
  signal(SIGPIPE, SIG_IGN);
  watch_children();
  find_cgroup();
  if (mkdir(WORK_FOLDER, 0755) != 0 && errno != EEXIST) fail("work folder");
  begin_frame('S', 0);
  flush_frames();
  for (;;) {
    switch (begin_taking()) {
      case 'F': write_file(); break;
      case 'B': boot(); break;
      case 'R': make_run(); break;
      default: refuse("frame type");
    }
    end_taking();
  }
}
