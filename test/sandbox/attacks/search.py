"""Looks for a text in every file, process and shared segment that can be read; prints where it is. argv: the text, reversed."""

import os
import stat
import sys

wanted = sys.argv[1][::-1].encode()
own = f"/proc/{os.getpid()}"


def look(path):
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            return
        with open(path, "rb") as file:
            if wanted in file.read(4 * 1024 * 1024):
                print(path)
    except OSError:
        pass


# Installed programs are nobody's secret, and too many.
left_out = ("/usr/", "/lib", "/sys/kernel", "/sys/devices", "/sys/module", "/opt/atelier/node_modules")
for root, folders, files in os.walk("/"):
    if root.startswith(left_out):
        folders.clear()
        continue
    if root.startswith("/proc/"):
        # Each process has a folder for each of its threads, with the same again.
        folders[:] = [name for name in folders if name not in ("task", "net", "self", "thread-self")]
    for name in files:
        look(os.path.join(root, name))
    if root.startswith("/proc/") and root.endswith("/fd"):
        for name in os.listdir(root):
            look(os.path.join(root, name))
for process in [name for name in os.listdir("/proc") if name.isdigit() and f"/proc/{name}" != own]:
    try:
        with open(f"/proc/{process}/maps") as maps, open(f"/proc/{process}/mem", "rb") as memory:
            for line in maps:
                start, end = (int(part, 16) for part in line.split()[0].split("-"))
                memory.seek(start)
                if wanted in memory.read(min(end - start, 64 * 1024 * 1024)):
                    print(f"memory of {process}")
    except (OSError, ValueError, OverflowError):
        pass
