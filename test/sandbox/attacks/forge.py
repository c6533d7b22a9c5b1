"""Writes what the agent would say of a good run wherever it can, and then fails."""

import os
import socket
import struct

# A result as runner/agent/protocol.h lays it out: exited, exit code 0, no signal.
payload = struct.pack(">BBIIQQQ", 0, 0, 0, 0, 1000, 1000, 1000)
result = b"R" + struct.pack(">I", len(payload)) + payload
# The engine's own frame around it: standard output.
forged = struct.pack(">BxxxI", 1, len(result)) + result

for descriptor in range(3, 1024):
    try:
        os.write(descriptor, forged)
    except OSError:
        pass
for process in [name for name in os.listdir("/proc") if name.isdigit()]:
    if int(process) == os.getpid():
        continue
    for descriptor in range(64):
        try:
            with open(f"/proc/{process}/fd/{descriptor}", "wb", buffering=0) as file:
                file.write(forged)
            print(f"opened descriptor {descriptor} of {process}")
        except OSError:
            pass
for address in [name.split()[-1] for name in open("/proc/net/unix") if "@" in name or "/" in name]:
    try:
        client = socket.socket(socket.AF_UNIX)
        client.connect(address.replace("@", "\0", 1))
        print(f"connected to {address}")
    except OSError:
        pass
for terminal in ("/dev/tty", "/dev/console", "/dev/pts/0", "/dev/ptmx"):
    try:
        with open(terminal, "wb", buffering=0) as file:
            file.write(forged)
    except OSError:
        pass
os.write(2, forged)
os.write(1, forged + b"and the exit code is 7\n")
os._exit(7)
