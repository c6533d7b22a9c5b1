#include "meters.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "files.h"
#include "frames.h"

uint64_t less(uint64_t value, uint64_t taken_off) { return value > taken_off ? value - taken_off : 0; }

/* ---- Clocks ---- */

uint64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000ull + now.tv_nsec / 1000;
}

static uint64_t time_us(struct timeval time) { return time.tv_sec * 1000000ull + time.tv_usec; }

static uint64_t rusage_us(int who) {
  struct rusage usage;
  getrusage(who, &usage);
  return time_us(usage.ru_utime) + time_us(usage.ru_stime);
}

static uint64_t process_us(pid_t pid) {
  clockid_t clock;
  struct timespec time;
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
  return time.tv_sec * 1000000ull + time.tv_nsec / 1000;
}

/* ---- Reading what the kernel tells ---- */

/* The text of a small file of the kernel's; false where it cannot be read, such as that of a process that has ended. */
static int read_text(const char *path, char *text, size_t size) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return 0;
  size_t length = 0;
  for (ssize_t got; length < size - 1 && (got = read(descriptor, text + length, size - 1 - length)) > 0;) length += got;
  close(descriptor);
  text[length] = 0;
  return length > 0;
}

/*
 * The same for a cgroup's file, which stays open: the kernel keeps the buffer of an open one. With a new buffer, and memory at its limit,
 * the agent would have the next process killed while the last one is still ending, and none but itself may be left.
 */
static int read_cgroup_text(const char *path, char *text, size_t size) {
  static struct { const char *path; int descriptor; } kept[16];
  size_t i = 0;
  while (kept[i].path != path && kept[i].path != NULL) i++;
  if (kept[i].path == NULL) {
    if (i == sizeof kept / sizeof *kept - 1) refuse("cgroup files");
    kept[i].path = path;
    kept[i].descriptor = open(path, O_RDONLY | O_CLOEXEC);
  }
  if (kept[i].descriptor < 0) return 0;
  size_t length = 0;
  for (ssize_t got; length < size - 1 && (got = pread(kept[i].descriptor, text + length, size - 1 - length, length)) > 0;) length += got;
  text[length] = 0;
  return length > 0;
}

/* The number behind `key` at the start of a line; 0 where there is none. */
static uint64_t number_of(const char *text, const char *key) {
  size_t length = strlen(key);
  for (const char *line = text; line != NULL && *line != 0; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (strncmp(line, key, length) == 0) return strtoull(line + length, NULL, 10);
  }
  return 0;
}

static uint64_t read_number(const char *path, const char *key) {
  char text[8192];
  if (path == NULL || !read_cgroup_text(path, text, sizeof text)) return 0;
  return key == NULL ? strtoull(text, NULL, 10) : number_of(text, key);
}

/* ---- The cgroup ---- */

/* Where the container's own cgroup tells what it uses; version 1 has a folder for each kind. */
struct cgroup {
  const char *cpu, *cpu_key;
  uint64_t cpu_unit_ns;
  const char *memory, *memory_peak, *memory_stat, *oom_kills, *limit_hits, *limit_hits_key, *processes, *processes_max, *processes_events;
};
static const struct cgroup versions[] = {
    {"/sys/fs/cgroup/cpuacct/cpuacct.usage", NULL, 1, "/sys/fs/cgroup/memory/memory.usage_in_bytes",
     "/sys/fs/cgroup/memory/memory.max_usage_in_bytes", "/sys/fs/cgroup/memory/memory.stat",
     "/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory/memory.failcnt", NULL, "/sys/fs/cgroup/pids/pids.current",
     "/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/pids/pids.events"},
    {"/sys/fs/cgroup/cpu.stat", "usage_usec ", 1000, "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.peak",
     "/sys/fs/cgroup/memory.stat", "/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory.events", "max ",
     "/sys/fs/cgroup/pids.current", "/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids.events"},
};
/* Null where there is none: then /proc is sampled. The machine's own, at the root of version 2, has no `memory`. */
static const struct cgroup *cgroup;

void find_cgroup(void) {
  for (int i = 0; i < 2; i++) {
    if (access(versions[i].memory, R_OK) == 0 && access(versions[i].cpu, R_OK) == 0) cgroup = &versions[i];
  }
}

int has_cgroup(void) { return cgroup != NULL; }

struct counters read_counters(void) {
  struct counters counters = {0};
  if (cgroup == NULL) return counters;
  counters.memory_peak = read_number(cgroup->memory_peak, NULL);
  counters.limit_hits = read_number(cgroup->limit_hits, cgroup->limit_hits_key);
  counters.oom_kills = read_number(cgroup->oom_kills, "oom_kill ");
  counters.process_refusals = read_number(cgroup->processes_events, "max ");
  return counters;
}

/*
 * What the kernel would take back before it kills: pages of files, and in version 2, which tells it, their names. Whoever reads the
 * files of the image first would otherwise pay for all others.
 */
uint64_t reclaimable_bytes(void) {
  char text[8192];
  if (!read_cgroup_text(cgroup->memory_stat, text, sizeof text)) return 0;
  return number_of(text, "inactive_file ") + number_of(text, "active_file ") + number_of(text, "slab_reclaimable ");
}

uint64_t container_processes(void) {
  static uint64_t known;
  if (known == 0 && cgroup != NULL) known = less(read_number(cgroup->processes_max, NULL), 1);
  return known;
}

/* Counts exactly, also what nobody waited for. The agent's own time is taken off. */
static struct usage cgroup_usage(void) {
  uint64_t all = read_number(cgroup->memory, NULL), reclaimable = reclaimable_bytes();
  uint64_t cpu_us = read_number(cgroup->cpu, cgroup->cpu_key) * cgroup->cpu_unit_ns / 1000, own_us = rusage_us(RUSAGE_SELF);
  return (struct usage){
      .cpu_us = less(cpu_us, own_us),
      .memory = less(all, reclaimable),
      .processes = less(read_number(cgroup->processes, NULL), 1),
  };
}

/* ---- /proc ---- */

/* Pages and names below the writable folders and detached System V segments: memory that no process shows as its own. */
static uint64_t kernel_held_bytes(void) {
  const uint64_t bytes_per_name = 1024; /* Measured, of an empty file on a tmpfs. */
  uint64_t bytes = 0;
  for (size_t i = 0; i < sizeof writable_folders / sizeof *writable_folders; i++) {
    struct statfs stats;
    if (statfs(writable_folders[i], &stats) != 0) continue;
    bytes += (stats.f_blocks - stats.f_bfree) * stats.f_bsize + (stats.f_files - stats.f_ffree) * bytes_per_name;
  }
  char text[8192];
  if (!read_text("/proc/sysvipc/shm", text, sizeof text)) return bytes;
  for (char *line = strchr(text, '\n'); line != NULL && line[1] != 0; line = strchr(line + 1, '\n')) {
    unsigned long long resident;
    if (sscanf(line + 1, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &resident) == 1) bytes += resident;
  }
  return bytes;
}

/*
 * Samples all processes but the agent. Memory shared between processes counts once per process, and what comes and goes between two
 * samples is missed. CPU time is exact for all that was waited for, by the agent as the last parent of all; only children whose parent
 * ignores SIGCHLD vanish without having been counted.
 */
static struct usage proc_usage(void) {
  struct usage usage = {.cpu_us = rusage_us(RUSAGE_CHILDREN), .memory = kernel_held_bytes()};
  const uint64_t tick_us = 1000000 / sysconf(_SC_CLK_TCK);
  DIR *processes = opendir("/proc");
  if (processes == NULL) return usage;
  for (struct dirent *entry; (entry = readdir(processes)) != NULL;) {
    char path[64], text[8192];
    int pid = atoi(entry->d_name);
    if (pid <= 1) continue;
    /* Its own time to the microsecond, that of the children it waited for in ticks. */
    usage.cpu_us += process_us(pid);
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    /* The second field, the name, may contain spaces and brackets. */
    char *fields = read_text(path, text, sizeof text) ? strrchr(text, ')') : NULL;
    unsigned long long user, system;
    const char *format = " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %llu %llu";
    if (fields != NULL && sscanf(fields + 1, format, &user, &system) == 2) usage.cpu_us += (user + system) * tick_us;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (!read_text(path, text, sizeof text)) continue;
    usage.memory += (number_of(text, "RssAnon:") + number_of(text, "RssShmem:")) * 1024;
    usage.processes += number_of(text, "Threads:");
  }
  closedir(processes);
  return usage;
}

struct usage read_usage(void) { return cgroup == NULL ? proc_usage() : cgroup_usage(); }
