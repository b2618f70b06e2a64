"""DNS for the tests of networks, with nothing but the standard library.

dns_tool.py ask NAME TYPE [tcp]    asks 127.0.0.11, prints {"code": N, "answers": [...], "truncated": bool}
dns_tool.py serve ADDRESS          answers on ADDRESS:53 over UDP and TCP as a name server of the world:
                                   "world.test" has addresses, "big.test" 60 of them, all else does not exist
"""
import json
import socket
import socketserver
import struct
import sys
import threading

TYPES = {"A": 1, "PTR": 12, "MX": 15, "AAAA": 28}
SERVER = ("127.0.0.11", 53)


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def read_name(packet, at):
    labels = []
    end = None
    while packet[at]:
        if packet[at] & 0xC0:
            end = end or at + 2
            at = struct.unpack("!H", packet[at:at + 2])[0] & 0x3FFF
            continue
        labels.append(packet[at + 1:at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    return ".".join(labels), end or at + 1


def question(name, kind, identity=0x4242):
    return struct.pack("!HHHHHH", identity, 0x0100, 1, 0, 0, 0) + encode_name(name) + struct.pack("!HH", TYPES[kind], 1)


def parse(packet):
    _, flags, _, count, _, _ = struct.unpack("!HHHHHH", packet[:12])
    _, at = read_name(packet, 12)
    at += 4
    answers = []
    for _ in range(count):
        _, at = read_name(packet, at)
        kind, _, _, size = struct.unpack("!HHIH", packet[at:at + 10])
        data = packet[at + 10:at + 10 + size]
        if kind == TYPES["A"]:
            answers.append(socket.inet_ntop(socket.AF_INET, data))
        elif kind == TYPES["AAAA"]:
            answers.append(socket.inet_ntop(socket.AF_INET6, data))
        else:
            answers.append(read_name(packet, at + 10)[0])
        at += 10 + size
    return {"code": flags & 15, "answers": sorted(answers), "truncated": bool(flags & 0x200)}


def ask(name, kind, tcp=False, server=SERVER, timeout=10):
    if not tcp:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(timeout)
            asker.connect(server)
            asker.send(question(name, kind))
            return parse(asker.recv(65535))
    with socket.create_connection(server, timeout) as asker:
        packet = question(name, kind)
        asker.sendall(struct.pack("!H", len(packet)) + packet)
        stream = asker.makefile("rb")
        return parse(stream.read(struct.unpack("!H", stream.read(2))[0]))


def reply(packet, bytes_max):
    name, at = read_name(packet, 12)
    kind = struct.unpack("!H", packet[at:at + 2])[0]
    counts = {"world.test": 1, "big.test": 60}
    code = 0 if name in counts else 3
    records = b""
    count = counts.get(name, 0) if kind == TYPES["A"] else 0
    for i in range(count):
        records += struct.pack("!HHHIH", 0xC00C, kind, 1, 60, 4) + bytes([198, 51, 100, i + 1])
    head = packet[12:at + 4]
    truncated = 12 + len(head) + len(records) > bytes_max
    if truncated:
        records, count = b"", 0
    flags = 0x8180 | code | (0x200 if truncated else 0)
    return packet[:2] + struct.pack("!HHHHH", flags, 1, count, 0, 0) + head + records


class Datagram(socketserver.BaseRequestHandler):
    def handle(self):
        packet, asker = self.request
        asker.sendto(reply(packet, 512), self.client_address)


class Stream(socketserver.StreamRequestHandler):
    def handle(self):
        size = struct.unpack("!H", self.rfile.read(2))[0]
        answer = reply(self.rfile.read(size), 65535)
        self.wfile.write(struct.pack("!H", len(answer)) + answer)


def serve(address):
    socketserver.TCPServer.allow_reuse_address = True
    streams = socketserver.ThreadingTCPServer((address, 53), Stream)
    threading.Thread(target=streams.serve_forever, daemon=True).start()
    datagrams = socketserver.ThreadingUDPServer((address, 53), Datagram)
    print("ready", flush=True)
    datagrams.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        print(json.dumps(ask(sys.argv[2], sys.argv[3], tcp="tcp" in sys.argv[4:])))
