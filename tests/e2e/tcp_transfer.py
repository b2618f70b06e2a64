"""One TCP transfer, timed at its receiver.

    tcp_transfer.py PORT                    takes one connection, prints {"bytes": N, "seconds": S}
    tcp_transfer.py ADDRESS PORT BYTES      sends that much; tries to connect for ten seconds"""
import json
import socket
import sys
import time


def receive(port):
    with socket.create_server(("", port)) as server:
        connection = server.accept()[0]
    size, first = len(connection.recv(65536)), time.monotonic()
    while data := connection.recv(65536):
        size += len(data)
    print(json.dumps({"bytes": size, "seconds": time.monotonic() - first}))


def send(address, port, size):
    deadline = time.monotonic() + 10
    while True:
        try:
            connection = socket.create_connection((address, port), timeout=2)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    connection.settimeout(60)
    with connection:
        connection.sendall(bytes(size))


if len(sys.argv) == 2:
    receive(int(sys.argv[1]))
else:
    send(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
