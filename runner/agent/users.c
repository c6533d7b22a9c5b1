#define _GNU_SOURCE
#include "users.h"

#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "frames.h"

static int is_root;
static int parent_death_signal;

void learn_identity(void) {
  prctl(PR_GET_PDEATHSIG, &parent_death_signal);
  is_root = geteuid() == 0;
}

int can_switch_users(void) { return is_root; }

/* Changing any identity takes off the parent death signal, by which bubblewrap ends a sandbox whose starter is killed. */
void access_files_as(uid_t user, gid_t group) {
  if (!is_root) return;
  /* As root first and last: nobody else may choose a group. By the effective ids, as gVisor knows none of files alone. */
  if (seteuid(0) != 0 || setegid(group) != 0 || seteuid(user) != 0) fail("identity");
  if (parent_death_signal != 0) prctl(PR_SET_PDEATHSIG, parent_death_signal);
}

void become(uid_t user) {
  if (!is_root) return;
  if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0) _exit(126);
}
