"""A read-only OCI registry on loopback with a few images made from this host's static busybox: what
the engine's tests pull.

Run as a program: tiny_registry.py PORT serves until it is killed. Use as mirror of docker.io.
"""

import gzip
import hashlib
import http.server
import io
import json
import re
import sys
import tarfile

BUSYBOX = "/bin/busybox"
APPLETS = (
    "sh ls cat echo sleep true false id hostname ip ps env wget nc httpd vi top kill ping mount pwd "
    "stty date touch mkdir head tail wc grep sed tr dd yes seq rm test printf nslookup tty mknod "
    "chmod chown adduser su readlink stat sync trap"
).split()
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def add_file(tar, name, data=b"", mode=0o644, **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = mode
    for key, value in fields.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data))


def add_folder(tar, name, mode=0o755):
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    info.mode = mode
    tar.addfile(info)


def base_layer():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("bin", "etc", "root", "var", "var/www", "data"):
            add_folder(tar, name)
        add_folder(tar, "tmp", 0o1777)
        with open(BUSYBOX, "rb") as busybox:
            add_file(tar, "bin/busybox", busybox.read(), 0o755)
        for applet in APPLETS:
            link = tarfile.TarInfo("bin/" + applet)
            link.type = tarfile.SYMTYPE
            link.linkname = "busybox"
            tar.addfile(link)
        add_file(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:web:/var/www:/bin/sh\n")
        add_file(tar, "etc/group", b"root:x:0:\nweb:x:33:\nextra:x:44:web\n")
        add_file(tar, "data/from-image", b"from the image\n", 0o640, uid=33, gid=33)
        add_file(tar, "var/www/index.html", b"hello from the container\n")
    return out.getvalue()


def images():
    """name -> (config, [layer tar])"""
    base = base_layer()
    second = io.BytesIO()
    with tarfile.open(fileobj=second, mode="w") as tar:
        add_file(tar, "etc/second", b"second layer\n")
    path = "PATH=/bin"
    return {
        "library/busybox": ({"Cmd": ["sh"], "Env": [path]}, [base]),
        "library/hello-world": ({"Cmd": ["/bin/echo", "Hello from engined!"], "Env": [path]}, [base]),
        "library/web": (
            {
                "Cmd": ["httpd", "-f", "-p", "80", "-h", "/var/www"],
                "Env": [path, "GREETING=hello"],
                "ExposedPorts": {"80/tcp": {}},
                "Volumes": {"/data": {}},
                "WorkingDir": "/var/www",
                "Labels": {"role": "web"},
                "User": "root",
            },
            [base, second.getvalue()],
        ),
    }


class Registry:
    def __init__(self):
        self.blobs = {}
        self.manifests = {}
        for name, (config, layers) in images().items():
            self.add(name, config, layers)

    def put(self, data):
        self.blobs[digest(data)] = data
        return {"digest": digest(data), "size": len(data)}

    def add(self, name, config, layers):
        document = {
            "architecture": "amd64",
            "os": "linux",
            "created": f"2026-01-01T00:00:{len(self.manifests):02}Z",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
            "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "test"} for _ in layers],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": dict(
                self.put(json.dumps(document).encode()),
                mediaType="application/vnd.docker.container.image.v1+json",
            ),
            "layers": [
                dict(
                    self.put(gzip.compress(layer, 1, mtime=0)),
                    mediaType="application/vnd.docker.image.rootfs.diff.tar.gzip",
                )
                for layer in layers
            ],
        }
        data = json.dumps(manifest).encode()
        self.manifests[(name, "latest")] = data
        self.manifests[(name, digest(data))] = data

    def find(self, path):
        """(content, media type) or None."""
        if path in ("/v2/", "/v2"):
            return b"{}", "application/json"
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/?]+)", path)
        if not match:
            return None
        name, kind, key = match.groups()
        if kind == "blobs":
            data = self.blobs.get(key)
            return data and (data, "application/octet-stream")
        data = self.manifests.get((name, key))
        return data and (data, MANIFEST)


def serve(port):
    registry = Registry()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            found = registry.find(self.path.split("?")[0])
            data, kind = found or (b'{"errors":[{"code":"NAME_UNKNOWN"}]}', "application/json")
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            if found:
                self.send_header("Docker-Content-Digest", digest(data))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
