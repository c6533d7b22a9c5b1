"""Tries to reach anything at all; prints what answered or was sent. argv: address:port of services of the host."""

import socket
import struct
import sys

socket.setdefaulttimeout(1)
metadata = ["169.254.169.254:80", "169.254.170.2:80", "[fd00:ec2::254]:80"]
others = ["1.1.1.1:53", "8.8.8.8:443", "[2606:4700:4700::1111]:53", "10.0.0.1:22", "172.17.0.1:2375", "192.168.0.1:80", "172.17.0.1:22"]


def gateways():
    with open("/proc/net/route") as routes:
        for line in list(routes)[1:]:
            yield socket.inet_ntoa(struct.pack("<I", int(line.split()[2], 16)))


def endpoint(text):
    host, port = text.rsplit(":", 1)
    return (socket.AF_INET6 if host.startswith("[") else socket.AF_INET), (host.strip("[]"), int(port))


services = [argument for argument in sys.argv[1:] if ":" in argument]
for target in services + metadata + others + [f"{gateway}:80" for gateway in gateways()]:
    family, address = endpoint(target)
    try:
        socket.socket(family, socket.SOCK_STREAM).connect(address)
        print(f"connected to {target}")
    except OSError:
        pass
    if address[0] in ("127.0.0.1", "::1"):
        continue
    try:
        socket.socket(family, socket.SOCK_DGRAM).sendto(b"x", address)
        print(f"sent to {target}")
    except OSError:
        pass
for name in ("example.com", "host.docker.internal", "metadata.google.internal"):
    try:
        print(f"{name} is {socket.gethostbyname(name)}")
    except OSError:
        pass
for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/systemd/private"):
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        print(f"connected to {path}")
    except OSError:
        pass
with open("/proc/net/dev") as devices:
    print("devices:", *[line.split(":")[0].strip() for line in list(devices)[2:]])
