"""A mixed load on an engine that may die at any instant, and a ledger of what it acknowledged.

Each actor is a thread that asks for one kind of thing after another. It enters into the ledger what the engine has
answered, and strikes out what it is about to remove before it asks: what stands in the ledger has to be there after a
crash, what is in `removed` must not come back, and what was under way may be either.
"""
import http.client
import io
import json
import tarfile
import threading

from unix_http import sent


class Gone(Exception):
    """The engine ended before it answered."""


class Refused(AssertionError):
    """The engine answered with an error."""


class Api:
    def __init__(self, socket):
        self.socket = socket

    def call(self, method, target, body=None):
        """(status, bytes). `body` is a document, or the bytes of a tar."""
        headers = {"Content-Type": "application/x-tar"} if isinstance(body, bytes) else {}
        try:
            with sent(self.socket, method, "/v1.41" + target, body, headers) as response:
                return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Gone(f"{method} {target}: {error}") from error

    def ask(self, method, target, body=None):
        """The answer to what has to succeed: a document if it is one, else bytes."""
        status, data = self.call(method, target, body)
        if status >= 400:
            raise Refused(f"{method} {target} -> {status} {data[:500]}")
        try:
            return json.loads(data)
        except ValueError:
            return data

    def stream(self, method, target, body=None):
        """The progress messages of an answer. A stream that breaks off is no acknowledgement."""
        data = self.ask(method, target, body)
        if isinstance(data, dict):
            return [data]
        messages = [json.loads(line) for line in data.decode().splitlines() if line.strip()]
        for message in messages:
            if "error" in message:
                raise Refused(f"{method} {target}: {message['error']}")
        return messages


class Ledger:
    def __init__(self):
        self.containers = {}  # name -> "created", "started" or "ended"
        self.images = {}  # tag -> id
        self.volumes = {}  # name -> what its file holds
        self.networks = {}  # name -> id
        self.removed = set()  # ids, and names of volumes
        self.log_lines = 0  # seen of the counter
        self.stopped = False  # the container with a restart policy


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


class Load:
    """The actors. `saved` is the tar of an image "saved" that `docker load` takes."""

    def __init__(self, host, saved):
        self.host = host
        self.api = Api(host.socket)
        self.ledger = Ledger()
        self.saved = saved
        self.steps = 0  # never used twice: names are made of it
        self.done = 0  # acknowledged steps
        self.failures = []
        self.lock = threading.Lock()

    def run_until(self, stop):
        actors = (self.containers, self.short_lived, self.builds, self.commits, self.loads, self.pulls, self.volumes,
                  self.networks, self.logs, self.stops)
        return [self.start(actor, stop) for actor in actors]

    def start(self, actor, stop):
        def work():
            try:
                while not stop.is_set():
                    actor(self.next_name(actor.__name__))
                    with self.lock:
                        self.done += 1
            except Gone:
                pass
            except Exception as error:  # noqa: BLE001: shown by the test
                self.failures.append(f"{actor.__name__}: {error!r}")

        thread = threading.Thread(target=work, name=actor.__name__)
        thread.start()
        return thread

    def next_name(self, kind):
        with self.lock:
            self.steps += 1
            return f"{kind}-{self.steps}"

    def create(self, name, command, **host_config):
        body = {"Image": "busybox", "Cmd": ["sh", "-c", command], "HostConfig": host_config}
        return self.api.ask("POST", f"/containers/create?name={name}", body)["Id"]

    def containers(self, name):
        ledger = self.ledger
        identity = self.create(name, f"echo {name}; exit 3", PortBindings={"80/tcp": [{"HostPort": ""}]})
        ledger.containers[name] = "created"
        self.api.ask("POST", f"/containers/{name}/start")
        ledger.containers[name] = "started"
        status = self.api.ask("POST", f"/containers/{name}/wait")["StatusCode"]
        assert status == 3, f"{name} ended with {status}"
        ledger.containers[name] = "ended"
        if len(ledger.containers) > 6:
            self.remove_container(next(iter(ledger.containers)))
        return identity

    def remove_container(self, name):
        del self.ledger.containers[name]
        identity = self.api.ask("GET", f"/containers/{name}/json")["Id"]
        self.api.ask("DELETE", f"/containers/{name}?force=1&v=1")
        self.ledger.removed.add(identity)

    def short_lived(self, name):
        identity = self.create(name, "sleep 0.05", AutoRemove=True)
        self.api.ask("POST", f"/containers/{name}/start")
        status, _ = self.api.call("POST", f"/containers/{identity}/wait?condition=removed")
        assert status in (200, 404)  # it may have gone by itself before the question
        self.ledger.removed.add(identity)

    def keep_image(self, tag, identity, prefix):
        """Enters an image, and removes the actor's oldest when it has three."""
        images = self.ledger.images
        images[tag] = identity
        own = [known for known in images if known.startswith(prefix)]
        if len(own) > 2:
            self.remove_image(own[0])

    def remove_image(self, tag):
        identity = self.ledger.images.pop(tag)
        self.api.ask("DELETE", f"/images/{tag}?force=1")
        self.ledger.removed.add(identity)

    def builds(self, name):
        dockerfile = f"FROM busybox\nRUN echo {name} > /made\nCOPY given /given\n"
        context = tar_of({"Dockerfile": dockerfile, "given": name})
        messages = self.api.stream("POST", f"/build?t={name}", context)
        assert any("Successfully tagged" in message.get("stream", "") for message in messages), messages
        identity = [message["aux"]["ID"] for message in messages if "aux" in message][-1]
        self.keep_image(f"{name}:latest", identity, "builds-")

    def commits(self, name):
        identity = self.api.ask("POST", f"/commit?container=written&repo={name}&comment={name}", {})["Id"]
        self.keep_image(f"{name}:latest", identity, "commits-")

    def loads(self, _):
        messages = self.api.stream("POST", "/images/load", self.saved)
        assert any("Loaded image" in message.get("stream", "") for message in messages), messages
        self.ledger.images["saved:latest"] = self.api.ask("GET", "/images/saved/json")["Id"]
        identity = self.ledger.images.pop("saved:latest")
        self.api.ask("DELETE", f"/images/{identity}?force=1")

    def pulls(self, _):
        self.api.stream("POST", "/images/create?fromImage=web&tag=latest")
        self.ledger.images["web:latest"] = self.api.ask("GET", "/images/web/json")["Id"]
        del self.ledger.images["web:latest"]
        self.api.ask("DELETE", "/images/web?force=1")

    def volumes(self, name):
        volume = self.api.ask("POST", "/volumes/create", {"Name": name})
        with open(f"{volume['Mountpoint']}/file", "w", encoding="utf-8") as file:
            file.write(name)
        self.ledger.volumes[name] = name
        if len(self.ledger.volumes) > 3:
            oldest = next(iter(self.ledger.volumes))
            del self.ledger.volumes[oldest]
            self.api.ask("DELETE", f"/volumes/{oldest}")
            self.ledger.removed.add(oldest)

    def networks(self, name):
        self.ledger.networks[name] = self.api.ask("POST", "/networks/create", {"Name": name})["Id"]
        if len(self.ledger.networks) > 2:
            oldest = next(iter(self.ledger.networks))
            identity = self.ledger.networks.pop(oldest)
            self.api.ask("DELETE", f"/networks/{oldest}")
            self.ledger.removed.add(identity)

    def logs(self, _):
        lines = counted(self.api.ask("GET", "/containers/counter/logs?stdout=1"))
        self.ledger.log_lines = max(self.ledger.log_lines, len(lines))

    def stops(self, _):
        self.ledger.stopped = False
        self.api.ask("POST", "/containers/policy/start")
        self.api.ask("POST", "/containers/policy/stop?t=0")
        self.ledger.stopped = True


def counted(log):
    """The numbers that the counter printed, out of frames with eight bytes of header."""
    numbers, at = [], 0
    log = log if isinstance(log, bytes) else b""
    while at < len(log):
        size = int.from_bytes(log[at + 4:at + 8], "big")
        numbers.append(int(log[at + 8:at + 8 + size]))
        at += 8 + size
    return numbers
