/* Who the agent is, and who its children become. */
#pragma once

#include <sys/types.h>

/* To be called before any of the others. */
void learn_identity(void);

/* False where only one user is mapped: there is nobody to switch to. */
int can_switch_users(void);

/* From here on files are opened and made with the rights of this user and group; 0 and 0 ends that. */
void access_files_as(uid_t user, gid_t group);

/* For good, in a child; ends it where that is refused. */
void become(uid_t user);
