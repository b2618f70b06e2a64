"""One engine as a case sees it: commands, requests and calls whose outcomes are recorded under what was asked."""
import contextlib
import json
import os
import pathlib
import pty
import re
import select
import shlex
import shutil
import socket
import subprocess
import tempfile
import time

import docker
from unix_http import sent

API = "/v1.41"
COMMAND_SECONDS_MAX = 30


def parse_body(data):
    """JSON where it is JSON, a list where it is a stream of JSON objects, else text."""
    text = data.decode(errors="backslashreplace")
    try:
        return json.loads(text) if text.strip() else text
    except ValueError:
        pass
    with contextlib.suppress(ValueError):
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return text


class Side:
    """`host` is an EngineHost. `folder` is empty at the beginning of each case and the commands' working folder."""

    def __init__(self, host):
        self.host = host
        self.steps = []
        self.failed = False
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="case-", dir=host.folder))
        self.environment = dict(
            os.environ, DOCKER_HOST=f"unix://{host.socket}", DOCKER_CONFIG=str(host.folder / "client"),
            DOCKER_BUILDKIT="0", COMPOSE_DOCKER_CLI_BUILD="0", COMPOSE_INTERACTIVE_NO_CLI="1", COLUMNS="200",
            PYTHONHASHSEED="0")  # docker-compose sends a container's aliases in the order of a set
        self.clients = []
        self.programs = []

    def record(self, label, value):
        self.steps.append((label, value))
        return value

    # Commands.

    def run(self, words, stdin=None, timeout=COMMAND_SECONDS_MAX):
        """The completed process of a command on this machine with the engine's environment; records nothing."""
        return subprocess.run([str(word) for word in words], cwd=self.folder, env=self.environment, text=True,
                              errors="backslashreplace", capture_output=True, timeout=timeout,
                              input=stdin, **({} if stdin is not None else {"stdin": subprocess.DEVNULL}))

    def command(self, program, line, stdin=None, label=None):
        words = shlex.split(line) if isinstance(line, str) else list(map(str, line))
        done = self.run([program, *words], stdin)
        self.record(f"{program} {label or (line if isinstance(line, str) else shlex.join(words))}",
                    {"status": done.returncode, "out": parse_output(done.stdout), "err": done.stderr})
        return done.stdout.strip()

    def docker(self, line, stdin=None, label=None):
        """Records exit status, output and errors of `docker LINE`, under `label` if the line differs by itself; gives
        the output."""
        return self.command("docker", line, stdin, label)

    def compose(self, line, stdin=None):
        """As docker(). It works on several containers at once: the order of its reports is chance."""
        output = self.command("docker-compose", line, stdin)
        outcome = self.steps[-1][1]
        outcome["err"] = sorted(outcome["err"].splitlines())
        return output

    def prepare(self, *lines):
        """Docker commands that are no part of what is compared, as long as they succeed."""
        out = ""
        for line in lines:
            done = self.run(["docker", *shlex.split(line)])
            if done.returncode != 0:
                self.failed = True
                self.record(f"prepare {line}", {"status": done.returncode, "err": done.stderr})
            out = done.stdout.strip()
        return out

    def ask(self, line):
        """A docker command's output; records nothing."""
        return self.run(["docker", *shlex.split(line)]).stdout.strip()

    def inside(self, line):
        """Records a command of the engine's network and mount namespace: what the machine sees."""
        done = self.host.run(*shlex.split(line), check=False, cwd=self.folder)
        self.record(line, {"status": done.returncode, "out": done.stdout, "err": done.stderr})
        return done.stdout.strip()

    def program(self, *words):
        """Starts a program in the engine's namespaces that is ended with the case."""
        self.programs.append(self.host.popen(*words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                             stderr=subprocess.DEVNULL))
        return self.programs[-1]

    def terminal(self, line, *exchange):
        """`docker LINE` on a terminal: for each (TEXT, KEYS) waits for TEXT in what is shown, then types KEYS. Records
        status and everything shown."""
        child, master = pty.fork()
        if child == 0:
            os.chdir(self.folder)
            os.execvpe("docker", ["docker", *shlex.split(line)], dict(self.environment, TERM="xterm"))
        shown = b""
        wanted = list(exchange)
        deadline = time.monotonic() + 20
        try:
            while time.monotonic() < deadline:
                if wanted and re.search(wanted[0][0].encode(), shown):
                    os.write(master, wanted.pop(0)[1].encode())
                    continue
                if not select.select([master], [], [], 0.2)[0]:
                    continue
                try:
                    data = os.read(master, 65536)
                except OSError:
                    break
                if not data:
                    break
                shown += data
            else:
                os.kill(child, 9)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        finally:
            os.close(master)
        self.record(f"terminal {line}", {"status": status, "shown": shown.decode(errors="backslashreplace")})
        return shown.decode(errors="backslashreplace")

    # Requests.

    def request(self, method, path, body=None, headers=None):
        """(status, headers, bytes) of a request to the API; `body` is bytes or a document. Records nothing."""
        target = path if re.match(r"/v[\d.]+/", path) else API + path
        with sent(self.host.socket, method, target, body, headers, COMMAND_SECONDS_MAX) as answer:
            return answer.status, answer.headers, answer.read()

    def api(self, method, path, body=None, headers=None, keep=None):
        """Records status and body of a request; gives the body. With `keep`, a function, what it makes of the body."""
        status, _, data = self.request(method, path, body, headers)
        parsed = parse_body(data)
        shown = "" if body is None else " " + (repr(body[:60]) if isinstance(body, bytes) else json.dumps(body))
        self.record(f"{method} {path}{shown}", {"status": status, "body": keep(parsed) if keep else parsed})
        return parsed

    def get(self, path):
        """A document of the API; records nothing."""
        return parse_body(self.request("GET", path)[2])

    def post(self, path, body=None):
        return parse_body(self.request("POST", path, body)[2])

    def web_socket(self, path, *sent):
        """Opens a WebSocket, sends the masked frames [(first byte, bytes)], and records the answer's status and the frames
        that come until the connection ends, those with data joined."""
        key, accepted = "MDEyMzQ1Njc4OWFiY2RlZg==", "BACScCJPNqyz+UBoqMH89VmURoA="
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(COMMAND_SECONDS_MAX)
            connection.connect(str(self.host.socket))
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                               "Origin: http://localhost\r\n\r\n".encode())
            reader = connection.makefile("rb")
            status = int(reader.readline().split()[1])
            headers = dict(line.decode().strip().split(": ", 1) for line in iter(reader.readline, b"\r\n"))
            assert headers["Sec-WebSocket-Accept"] == accepted, headers
            for first, data in sent:
                connection.sendall(bytes([first, 0x80 | len(data), 0, 0, 0, 0]) + data)
            frames = []
            while head := reader.read(2):
                data = reader.read(head[1]).decode(errors="backslashreplace")
                if frames and frames[-1][0] == head[0] and head[0] in (0x81, 0x82):
                    data = frames.pop()[1] + data
                frames.append((head[0], data))
        self.record(f"WebSocket {path}", [status, *frames])

    # The Python SDK.

    def client(self):
        client = docker.DockerClient(base_url=f"unix://{self.host.socket}", version="1.41", timeout=COMMAND_SECONDS_MAX)
        self.clients.append(client)
        return client

    def sdk(self, label, call):
        """Records what a call into the SDK gives: a value that is JSON or bytes, or the error it raises."""
        try:
            value = call()
        except docker.errors.DockerException as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            self.record(f"sdk {label}", {"error": type(error).__name__, "status": status,
                                         "text": getattr(error, "explanation", None) or str(error)})
            return None
        shown = value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
        self.record(f"sdk {label}", shown)
        return value

    # Around a case.

    def files(self, contents):
        """Writes files into the case's folder: {path: text}."""
        for name, text in contents.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def until(self, what, condition, seconds=20):
        """Waits for a condition and gives its value; records a failure only."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            seen = condition()
            if seen:
                return seen
            time.sleep(0.05)
        self.failed = True
        self.record(f"until {what}", "did not come")
        return None

    def until_logs(self, name, text):
        self.until(f"{name} logs {text}", lambda: text in (lambda done: done.stdout + done.stderr)(
            self.run(["docker", "logs", name])))

    def until_state(self, name, state):
        self.until(f"{name} is {state}", lambda: self.get(f"/containers/{name}/json")["State"]["Status"] == state)

    def close(self):
        for client in self.clients:
            client.close()
        for program in self.programs:
            program.kill()
            program.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def parse_output(text):
    """A command's JSON document is compared as a document."""
    if text[:1] in "[{":
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return text
