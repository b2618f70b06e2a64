"""A node on the lab's switch without a virtual machine: a network namespace whose TAP device is pumped to and from
the switch's UDP ports, one datagram per frame, as QEMU does it.

    tap_node.py SWITCH_PORT NIC_PORT MAC ADDRESS/PREFIX

Says "ready", then runs each line of its standard input as a command inside the namespace and answers with one line of
JSON: {"status": N, "output": "..."}. Ends with its standard input."""
import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000


def enter_namespace():
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    flags = CLONE_NEWNET if user == 0 else CLONE_NEWUSER | CLONE_NEWNET
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if user != 0:
        for path, text in (("uid_map", f"0 {user} 1"), ("setgroups", "deny"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{path}", "w") as file:
                file.write(text)


def open_tap(mac, address):
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", b"lab0", IFF_TAP | IFF_NO_PI))
    for command in (f"ip link set lab0 address {mac}", f"ip address add {address} dev lab0", "ip link set lab0 up",
                    "ip link set lo up"):
        subprocess.run(command.split(), check=True)
    return tap


def pump_out(tap, wire, switch):
    while True:
        wire.sendto(os.read(tap, 16384), switch)


def pump_in(tap, wire):
    while True:
        try:
            os.write(tap, wire.recv(16384))
        except ConnectionRefusedError:
            pass


def main():
    switch_port, nic_port, mac, address = sys.argv[1:5]
    wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    wire.bind(("127.0.0.1", int(nic_port)))
    enter_namespace()
    tap = open_tap(mac, address)
    threading.Thread(target=pump_out, args=(tap, wire, ("127.0.0.1", int(switch_port))), daemon=True).start()
    threading.Thread(target=pump_in, args=(tap, wire), daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        done = subprocess.run(line, shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        print(json.dumps({"status": done.returncode, "output": done.stdout}), flush=True)


main()
