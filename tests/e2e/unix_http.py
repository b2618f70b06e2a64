"""HTTP on a Unix socket."""
import contextlib
import http.client
import json
import socket


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


@contextlib.contextmanager
def sent(path, method, target, body=None, headers=None, timeout=60):
    """The response to a request; `body` is bytes, or a document, which is sent as JSON."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        headers.setdefault("Content-Type", "application/json")
        body = json.dumps(body)
    connection = UnixConnection(path, timeout)
    try:
        connection.request(method, target, body, headers)
        yield connection.getresponse()
    finally:
        connection.close()
