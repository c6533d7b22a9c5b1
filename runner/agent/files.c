#define _GNU_SOURCE
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "descriptors.h"
#include "frames.h"
#include "protocol.h"
#include "users.h"

enum { MAX_PATH_BYTES = 4096 };

const char *const writable_folders[2] = {"/tmp", "/dev/shm"};

/* ---- Emptying the writable folders ---- */

static int is_dot(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

static int is_empty(const char *folder) {
  DIR *listing = opendir(folder);
  if (listing == NULL) return 0;
  struct dirent *entry;
  do entry = readdir(listing);
  while (entry != NULL && is_dot(entry->d_name));
  closedir(listing);
  return entry == NULL;
}

/*
 * Removes all that this user may remove. What lies in a folder of the folder is lifted up into the folder itself first, so that no depth
 * of a tree, nor length of a path, is too much. Returns whether anything was removed.
 */
static int empty_folder(const char *folder) {
  static unsigned lifted;
  int has_removed = 0, has_changed = 1;
  int top = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  while (has_changed) {
    has_changed = 0;
    DIR *listing = opendir(folder);
    if (top < 0 || listing == NULL) break;
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
      if (is_dot(entry->d_name)) continue;
      int inner = openat(top, entry->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (inner >= 0) {
        fchmodat(top, entry->d_name, 0777, 0);
        int readable = openat(top, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *inside = readable < 0 ? NULL : fdopendir(readable);
        for (struct dirent *child; inside != NULL && (child = readdir(inside)) != NULL;) {
          char name[32];
          if (is_dot(child->d_name) || unlinkat(inner, child->d_name, 0) == 0) continue;
          snprintf(name, sizeof name, ".lifted-%u", lifted++);
          fchmodat(inner, child->d_name, 0777, 0);
          if (renameat(inner, child->d_name, top, name) == 0) has_changed = 1;
        }
        if (inside != NULL) closedir(inside);
        close(inner);
      }
      if (unlinkat(top, entry->d_name, inner >= 0 ? AT_REMOVEDIR : 0) == 0) has_changed = has_removed = 1;
    }
    closedir(listing);
  }
  if (top >= 0) close(top);
  return has_removed;
}

static int are_writable_folders_empty(void) { return is_empty(writable_folders[0]) && is_empty(writable_folders[1]); }

/* By the run's own users: the agent is root without the right to enter other users' folders. Each may open a way for the other. */
void empty_writable_folders(const uid_t users[2]) {
  for (int has_progress = 1; !are_writable_folders_empty(); ) {
    if (!has_progress) refuse("files of the run cannot be removed");
    has_progress = 0;
    for (int i = 0; i < 2 && users[i] != 0; i++) {
      int outcome;
      pid_t pid = fork();
      if (pid < 0) fail("fork");
      if (pid == 0) {
        become(users[i]);
        int has_removed = empty_folder(writable_folders[0]);
        _exit(empty_folder(writable_folders[1]) || has_removed);
      }
      if (waitpid(pid, &outcome, 0) == pid && outcome != 0) has_progress = 1;
    }
  }
}

/* ---- Files in ---- */

static void check_path(const char *path, uint32_t length) {
  if (length == 0 || length >= MAX_PATH_BYTES || strlen(path) != length) refuse("path");
  for (const char *segment = path;; segment++) {
    size_t size = strcspn(segment, "/");
    if (size == 0 || strncmp(segment, ".", size) == 0 || (size == 2 && strncmp(segment, "..", 2) == 0)) refuse("path");
    segment += size;
    if (*segment == 0) return;
  }
}

/*
 * Files belong to root, and so does every folder below the work folder: nothing there can have been prepared by a student. Where agent
 * and student share a user it can, and what lies at the path gives way.
 *
 * A file for one group is in no other user's reach: the agent may not give files away (CHOWN), but may make them as another group.
 */
void write_file(void) {
  char target[sizeof WORK_FOLDER + MAX_PATH_BYTES];
  unsigned flags = take_number(1);
  gid_t group = take_number(4);
  uint32_t length;
  char *path = take_block(&length);
  check_path(path, length);
  snprintf(target, sizeof target, "%s/%s", WORK_FOLDER, path);
  free(path);

  int is_private = (flags & FILE_FOR_GROUP) != 0;
  mode_t mode = is_private ? 0640 : 0644;
  if (flags & FILE_EXECUTABLE) mode |= is_private ? 0110 : 0111;
  if (is_private) access_files_as(0, group);
  for (char *slash = target + sizeof WORK_FOLDER; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
    *slash = 0;
    if (mkdir(target, is_private ? 0750 : 0755) != 0 && errno != EEXIST) fail("folder");
  }
  if (!can_switch_users() && unlink(target) != 0 && errno == EISDIR) {
    empty_folder(target);
    rmdir(target);
  }
  int descriptor = open(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  if (descriptor < 0) fail("file");
  if (is_private) access_files_as(0, 0);
  while (left_in_frame() > 0) {
    unsigned char chunk[CHUNK_BYTES];
    size_t size = left_in_frame() < sizeof chunk ? left_in_frame() : sizeof chunk;
    take(chunk, size);
    for (size_t done = 0; done < size;) {
      ssize_t written = write(descriptor, chunk + done, size - done);
      if (written <= 0) fail("file");
      done += written;
    }
  }
  close(descriptor);
}

/* ---- The artifact ---- */

/* A regular file below /tmp, opened with the rights of the run's user and through no link; -1 where there is none. */
static int open_artifact(char *path, uid_t user) {
  access_files_as(user, user);
  int descriptor = open(writable_folders[0], O_PATH | O_DIRECTORY | O_CLOEXEC);
  for (char *segment = strtok(path, "/"); segment != NULL && descriptor >= 0;) {
    char *next = strtok(NULL, "/");
    int flags = next == NULL ? O_RDONLY | O_NONBLOCK : O_PATH | O_DIRECTORY;
    int inner = openat(descriptor, segment, flags | O_NOFOLLOW | O_CLOEXEC);
    close(descriptor);
    descriptor = inner;
    segment = next;
  }
  access_files_as(0, 0);
  struct stat stats;
  if (descriptor >= 0 && (fstat(descriptor, &stats) != 0 || !S_ISREG(stats.st_mode))) close_once(&descriptor);
  return descriptor;
}

int send_artifact(char *path, uid_t user, uint32_t max_bytes) {
  static unsigned char chunk[CHUNK_BYTES];
  struct stat stats;
  int descriptor = open_artifact(path, user);
  if (descriptor < 0) return 0;
  int fits = fstat(descriptor, &stats) == 0 && (uint64_t)stats.st_size <= max_bytes;
  for (ssize_t got; fits && (got = read(descriptor, chunk, sizeof chunk)) > 0;) {
    begin_frame('A', got);
    put(chunk, got);
  }
  close(descriptor);
  return fits;
}
