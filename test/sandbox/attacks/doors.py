"""Tries every door into the kernel and out of the sandbox; prints the names of those that were not refused."""

import ctypes
import errno
import mmap
import os
import platform
import resource
import signal
import socket
import stat
import sys

libc = ctypes.CDLL(None, use_errno=True)
is_x64 = platform.machine() == "x86_64"
buffer = ctypes.create_string_buffer(4096)

REFUSALS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS, errno.ENOENT, errno.ESRCH, errno.EAFNOSUPPORT, errno.ENXIO}
NEW_USER = 0x10000000

# name: (number on x86-64, number on arm64, arguments with which it would do something, or fail otherwise than by a refusal)
SYSTEM_CALLS = {
    "process_vm_readv": (310, 270, (1, buffer, 1, buffer, 1, 0)),
    "process_vm_writev": (311, 271, (1, buffer, 1, buffer, 1, 0)),
    "pidfd_getfd": (438, 438, (0, 0, 0)),
    "shmget": (29, 194, (0, 4096, 0o1666)),
    "semget": (64, 190, (0, 1, 0o1666)),
    "msgget": (68, 186, (0, 0o1666)),
    "mq_open": (240, 180, (b"name", 0o102, 0o666, None)),
    "kcmp": (312, 272, (1, os.getpid(), 0, 0, 0)),
    "add_key": (248, 217, (b"user", b"name", b"x", 1, -3)),
    "request_key": (249, 218, (b"user", b"name", None, -3)),
    "bpf": (321, 280, (0, buffer, 48)),
    "perf_event_open": (298, 241, (buffer, 0, -1, -1, 0)),
    "userfaultfd": (323, 282, (0,)),
    "kexec_load": (246, 104, (0, 0, None, 0)),
    "kexec_file_load": (320, 294, (0, 0, 0, None, 0)),
    "init_module": (175, 105, (buffer, 0, b"")),
    "finit_module": (313, 273, (0, b"", 0)),
    "delete_module": (176, 106, (b"x", 0)),
    "setns": (308, 268, (0, 0)),
    "unshare of all": (272, 97, (0x7E020000,)),
    "pivot_root": (155, 41, (b"/tmp", b"/tmp")),
    "umount": (166, 39, (b"/tmp", 2)),
    "fsopen": (430, 430, (b"tmpfs", 0)),
    "open_tree": (428, 428, (-100, b"/tmp", 1)),
    "move_mount": (429, 429, (-100, b"/tmp", -100, b"/tmp", 0)),
    "mount_setattr": (442, 442, (-100, b"/tmp", 0, buffer, 32)),
    "open_by_handle_at": (304, 265, (-100, buffer, 0)),
    "io_uring_enter": (426, 426, (0, 1, 0, 0, None, 0)),
    "swapon": (167, 224, (b"/tmp/x", 0)),
    "reboot": (169, 142, (0xFEE1DEAD, 672274793, 0x89ABCDEF, None)),
    "sethostname": (170, 161, (b"x", 1)),
    "settimeofday": (164, 170, (buffer, None)),
    "clock_settime": (227, 112, (0, buffer)),
    "acct": (163, 89, (None,)),
    "syslog": (103, 116, (3, buffer, 4096)),
    "memfd_secret": (447, 447, (0,)),
    "fanotify_init": (300, 262, (0, 0)),
    "vhangup": (153, 58, ()),
}


def call(name):
    x64, arm64, arguments = SYSTEM_CALLS[name]
    ctypes.set_errno(0)
    result = libc.syscall(x64 if is_x64 else arm64, *arguments)
    return None if result == -1 and ctypes.get_errno() in REFUSALS else f"{result} errno {ctypes.get_errno()}"


def attempt(action):
    try:
        outcome = action()
    except OSError as error:
        return None if error.errno in REFUSALS else f"errno {error.errno}"
    return "done" if outcome is None else f"done: {outcome}"


def in_child(action):
    """What the child says before it ends; None where it is killed or refused."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = attempt(action)
        os.write(writer, (said or "").encode())
        os._exit(0)
    os.close(writer)
    said = os.read(reader, 1000).decode()
    os.close(reader)
    os.waitpid(pid, 0)
    return said or None


def clone3_user_namespace():
    arguments = (ctypes.c_uint64 * 11)(NEW_USER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
    result = libc.syscall(435, arguments, 88)
    if result == 0:
        os._exit(0)
    if result == -1:
        raise OSError(ctypes.get_errno(), "clone3")


def old_system_call():
    """getpid by the 32-bit door of x86-64, which other filters may guard."""
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    result = function()
    if result < 0:
        raise OSError(-result, "int 0x80")


def x32_system_call():
    result = libc.syscall(0x40000000 + 39)
    if result == -1:
        raise OSError(ctypes.get_errno(), "x32")


def raw(family, kind, protocol):
    return lambda: socket.socket(family, kind, protocol).close()


def write_to(path, text):
    def action():
        with open(path, "w") as file:
            file.write(text)

    return action


def read_from(path):
    def action():
        with open(path, "rb") as file:
            # What is masked is there, and empty.
            if file.read(16) == b"":
                raise OSError(errno.EACCES, "empty")

    return action


def raise_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    try:
        resource.setrlimit(resource.RLIMIT_NPROC, (hard + 100, hard + 100))
    except ValueError:
        raise OSError(errno.EPERM, "limit") from None


ACTIONS = {
    "memory of the first process": read_from("/proc/1/mem"),
    "descriptors of the first process": lambda: os.listdir("/proc/1/fd"),
    "environment of the first process": read_from("/proc/1/environ"),
    "limits of the first process": lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (3, 3)),
    "killing the first process": lambda: os.kill(1, signal.SIGKILL),
    "stopping the first process": lambda: os.kill(1, signal.SIGSTOP),
    "priority of the first process": lambda: os.setpriority(os.PRIO_PROCESS, 1, 19),
    "scheduling of the first process": lambda: os.sched_setaffinity(1, {0}),
    "real time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "own priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, -5),
    "safety from the out-of-memory killer": write_to("/proc/self/oom_score_adj", "-1000"),
    "another user": lambda: os.setresuid(0, 0, 0),
    "another group": lambda: os.setgroups([0]),
    "chroot": lambda: os.chroot("/tmp"),
    "a block device": lambda: os.mknod("/tmp/block", stat.S_IFBLK | 0o600, os.makedev(8, 0)),
    "a character device": lambda: os.mknod("/tmp/memory", stat.S_IFCHR | 0o600, os.makedev(1, 1)),
    "giving a file away": lambda: [open("/tmp/gift", "w").close(), os.chown("/tmp/gift", 0, 0)] and None,
    "the core pattern": write_to("/proc/sys/kernel/core_pattern", "|/tmp/x"),
    "host's memory overcommit": write_to("/proc/sys/vm/overcommit_memory", "1"),
    "the magic key": write_to("/proc/sysrq-trigger", "h"),
    "a message queue by its file": write_to("/dev/mqueue/name", ""),
    "kernel messages": read_from("/dev/kmsg"),
    "kernel memory": read_from("/proc/kcore"),
    "keys": read_from("/proc/keys"),
    "more processes": raise_limit,
    "raw socket": raw(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "packet socket": raw(17, socket.SOCK_RAW, 0),
    "vsock": raw(40, socket.SOCK_STREAM, 0),
    "kernel crypto socket": raw(38, socket.SOCK_SEQPACKET, 0),
    "bluetooth socket": raw(31, socket.SOCK_RAW, 0),
}


def cgroup_files():
    for root, folders, files in os.walk("/sys/fs/cgroup"):
        for name in files:
            if name in ("cgroup.procs", "tasks", "memory.limit_in_bytes", "memory.max", "pids.max", "release_agent", "cpu.max"):
                yield os.path.join(root, name)


def devices():
    known = {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"}
    for root, folders, files in os.walk("/dev"):
        for name in files:
            path = os.path.join(root, name)
            mode = os.lstat(path).st_mode
            if (stat.S_ISBLK(mode) or stat.S_ISCHR(mode)) and name not in known and "/pts/" not in path:
                yield path


open_doors = {}
for name in SYSTEM_CALLS:
    open_doors[name] = call(name)
for name, action in ACTIONS.items():
    open_doors[name] = attempt(action)
for path in cgroup_files():
    open_doors[f"writing {path}"] = attempt(write_to(path, "max"))
for path in devices():
    open_doors[f"device {path}"] = attempt(read_from(path))
open_doors["clone3 with a user namespace"] = in_child(clone3_user_namespace)
if is_x64:
    open_doors["int 0x80"] = in_child(old_system_call)
    open_doors["x32"] = in_child(x32_system_call)
for name, outcome in open_doors.items():
    if outcome is not None:
        print(f"{name}: {outcome}")
print(f"{len(open_doors)} tried", file=sys.stderr)
