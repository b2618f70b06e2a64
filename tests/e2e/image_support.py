"""What the image tests share: image layouts, registries, and the image server under test."""

import gzip
import hashlib
import http.client
import http.server
import io
import json
import os
import pathlib
import random
import socket
import subprocess
import tarfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def program(name):
    """The built program: of $LAB_BIN, else the newest build."""
    if os.environ.get("LAB_BIN"):
        return pathlib.Path(os.environ["LAB_BIN"]) / name
    built = [path for path in ROOT.glob(f"build/*/bin/{name}") if path.parts[-3] in ("release", "dev")]
    if not built:
        raise FileNotFoundError(f"{name} is not built")
    return max(built, key=lambda path: path.stat().st_mtime)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_until(condition, seconds=15, what="condition"):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    raise TimeoutError(f"{what}: not within {seconds} s")


def accepts(name, namespace=None):
    """Whether something listens at HOST:PORT."""
    host, port = name.split(":")
    if namespace:
        listening = subprocess.run(["ip", "netns", "exec", namespace, "ss", "-Htln", f"sport = :{port}"],
                                   check=True, stdout=subprocess.PIPE).stdout
        return bool(listening)
    with socket.socket() as sock:
        return sock.connect_ex((host, int(port))) == 0


class Namespace:
    """A network of its own with one address, for what must not be on loopback."""

    def __init__(self, address):
        self.address = address
        self.name = f"lab-test-{os.getpid()}"
        self.ip("netns", "add", self.name)
        self.ip("-n", self.name, "link", "set", "lo", "up")
        self.ip("-n", self.name, "address", "add", f"{address}/32", "dev", "lo")

    @staticmethod
    def ip(*words):
        subprocess.run(["ip", *words], check=True)

    def stop(self):
        self.ip("netns", "delete", self.name)


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer_tar(files, whiteouts=()):
    """An uncompressed layer: {name: bytes | ("link", target) | ("hard", target) | None for a folder}."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.mtime = 1_600_000_000
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            elif isinstance(content, tuple):
                info.type = tarfile.SYMTYPE if content[0] == "link" else tarfile.LNKTYPE
                info.linkname = content[1]
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        for name in whiteouts:
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    return buffer.getvalue()


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


class Layout:
    """An image in memory: its blobs and one manifest."""

    def __init__(self, tars, compress=None, docker=False, salt="", config=None):
        compress = compress or (lambda data: gzip.compress(data, 6, mtime=0))
        kind = "vnd.docker" if docker else "vnd.oci"
        self.blobs = {}
        layers = []
        for tar in tars:
            layers.append(self.put(compress(tar)) | {"mediaType": (
                "application/vnd.docker.image.rootfs.diff.tar.gzip" if docker
                else "application/vnd.oci.image.layer.v1.tar+gzip")})
        self.config = {
            "architecture": "amd64", "os": "linux", "created": "2024-01-09T00:00:00Z", "author": salt,
            "config": config or {"Cmd": ["/hello"], "Env": ["PATH=/bin"], "Labels": {"team": "blue"}},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
            "history": [{"created": "2024-01-01T00:00:00Z", "created_by": f"layer {i}"} for i in range(len(tars))],
        }
        config_type = ("application/vnd.docker.container.image.v1+json" if docker
                       else "application/vnd.oci.image.config.v1+json")
        config = self.put(json.dumps(self.config).encode()) | {"mediaType": config_type}
        self.media_type = f"application/{kind}.image.manifest.v1+json"
        if docker:
            self.media_type = "application/vnd.docker.distribution.manifest.v2+json"
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": self.media_type, "config": config, "layers": layers}).encode()
        self.digest = digest_of(self.manifest)
        self.image_id = config["digest"]
        self.layers = layers

    def put(self, data):
        self.blobs[digest_of(data)] = data
        return {"digest": digest_of(data), "size": len(data)}

    def save(self, folder):
        """As skopeo's `dir:` reads it."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True)
        (folder / "version").write_text("Directory Transport Version: 1.1\n")
        (folder / "manifest.json").write_bytes(self.manifest)
        for digest, data in self.blobs.items():
            (folder / digest.removeprefix("sha256:")).write_bytes(data)


def compressible(size, seed=1):
    words = [random.Random(seed + i).randbytes(8) for i in range(200)]
    chosen = random.Random(seed)
    return b"".join(chosen.choice(words) for _ in range(size // 8))


class Process:
    """A child that is ended by its id."""

    def __init__(self, argv, log, namespace=None):
        if namespace:
            argv = ["ip", "netns", "exec", namespace, *argv]
        self.log = pathlib.Path(log)
        with open(self.log, "ab") as output:
            self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def stop(self, kill=False):
        if self.child.poll() is None:
            self.child.kill() if kill else self.child.terminate()
        self.child.wait(20)


class DockerRegistry(Process):
    """Debian's docker-registry on loopback."""

    def __init__(self, folder, tls=None, htpasswd=None, address="127.0.0.1", namespace=None):
        self.port = free_port()
        self.name = f"{address}:{self.port}"
        folder.mkdir(parents=True)
        config = {"version": 0.1, "log": {"level": "warn"},
                  "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
                  "http": {"addr": self.name}}
        if tls:
            config["http"]["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}
        if htpasswd:
            (folder / "htpasswd").write_text(htpasswd)
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
        (folder / "config.yml").write_text(json.dumps(config))
        super().__init__(["docker-registry", "serve", folder / "config.yml"], folder / "log", namespace)
        wait_until(lambda: accepts(self.name, namespace), what="docker-registry")


class ImageServer(Process):
    """The image API of the engine on a Unix socket."""

    def __init__(self, folder, *flags, namespace=None):
        self.folder = folder
        self.flags = flags
        self.socket = folder / "api.sock"
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__([program("image_server"), folder / "data", self.socket, *flags], folder / "log", namespace)
        wait_until(self.answers, what="image_server")

    def answers(self):
        with socket.socket(socket.AF_UNIX) as sock:
            return sock.connect_ex(str(self.socket)) == 0

    def docker(self, *words, check=True, timeout=120):
        environment = dict(os.environ, DOCKER_HOST=f"unix://{self.socket}", DOCKER_CONFIG=str(self.folder / "config"))
        done = subprocess.run(["docker", *words], env=environment, text=True, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def request(self, method, path, body=None, headers=None):
        """(status, decoded JSON or text)."""
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.socket))
        connection.request(method, "/v1.41" + path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def layers(self):
        """The unpacked layers' folders, in the order in which they were made."""
        return sorted((self.folder / "data/image/layers").iterdir(), key=lambda path: int(path.name))


class ScriptedRegistry:
    """A registry that serves layouts and misbehaves on request. `faults` are looked at for each blob."""

    def __init__(self):
        self.images = {}  # (repository, reference) -> (bytes, media type)
        self.blobs = {}
        self.requests = []
        self.cut_after = {}  # digest -> bytes to send before the connection is closed, once each
        self.replace = {}  # digest -> other content
        self.trickle = set()  # digests that are sent 4 KiB at a time, ten times a second
        self.token = None  # demanded as Bearer
        self.credentials = None  # (user, password) for which the token is given
        self.redirect_to = None  # another ScriptedRegistry that has the blobs
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                registry.answer(self)

            do_HEAD = do_GET

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.name = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, repository, reference, layout):
        self.blobs.update(layout.blobs)
        for name in (reference, layout.digest):
            self.images[repository, name] = (layout.manifest, layout.media_type)

    def send(self, handler, status, body=b"", headers=(), length=None):
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    def fail(self, handler, status, code, message, headers=()):
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.send(handler, status, body, [("Content-Type", "application/json"), *headers])

    def answer(self, handler):
        path = handler.path
        self.requests.append((handler.command, path, dict(handler.headers)))
        if path.startswith("/token"):
            return self.give_token(handler)
        if self.token and handler.headers.get("Authorization") != f"Bearer {self.token}":
            challenge = f'Bearer realm="http://{self.name}/token",service="scripted"'
            return self.fail(handler, 401, "UNAUTHORIZED", "authentication required",
                             [("WWW-Authenticate", challenge)])
        if path == "/v2/":
            return self.send(handler, 200, b"{}")
        if path.endswith("/tags/list"):
            repository = path.removeprefix("/v2/").removesuffix("/tags/list")
            tags = [name for there, name in self.images if there == repository and ":" not in name]
            return self.send(handler, 200, json.dumps({"name": repository, "tags": tags}).encode())
        repository, kind, reference = path.removeprefix("/v2/").rsplit("/", 2)
        if kind == "manifests":
            found = self.images.get((repository, reference))
            if not found:
                return self.fail(handler, 404, "MANIFEST_UNKNOWN", "manifest unknown")
            return self.send(handler, 200, found[0], [("Content-Type", found[1])])
        return self.give_blob(handler, reference)

    def give_token(self, handler):
        if self.credentials:
            import base64
            wanted = "Basic " + base64.b64encode(":".join(self.credentials).encode()).decode()
            if handler.headers.get("Authorization") != wanted:
                return self.fail(handler, 401, "UNAUTHORIZED", "incorrect username or password")
        return self.send(handler, 200, json.dumps({"token": self.token}).encode())

    def give_blob(self, handler, digest):
        if self.redirect_to:
            location = f"http://{self.redirect_to.name}{handler.path}"
            return self.send(handler, 307, b"", [("Location", location)])
        data = self.replace.get(digest, self.blobs.get(digest))
        if data is None:
            return self.fail(handler, 404, "BLOB_UNKNOWN", "blob unknown to registry")
        status, start = 200, 0
        if handler.headers.get("Range"):
            status, start = 206, int(handler.headers["Range"].removeprefix("bytes=").rstrip("-"))
        if digest in self.trickle:
            self.send(handler, status, b"", length=len(data) - start)
            for at in range(start, len(data), 4096):
                handler.wfile.write(data[at:at + 4096])
                time.sleep(0.1)
            return None
        cut = self.cut_after.pop(digest, None)
        if cut is None:
            return self.send(handler, status, data[start:])
        self.send(handler, status, data[start:start + cut], length=len(data) - start)
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
