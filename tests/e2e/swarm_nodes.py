"""Nodes of a swarm as network namespaces on this machine: a bridge in one namespace, a node per
namespace behind it, swarmd in each with a state folder and an API socket of its own."""

import json
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import threading
import time

from unix_http import sent

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("LAB_BIN", ROOT / "build" / "release" / "bin"))
DOCKER = os.environ.get("LAB_DOCKER", "/usr/bin/docker")


def request(path, method, target, body=None, timeout=30):
    """Gives (status, parsed JSON or text)."""
    with sent(path, method, target, body, timeout=timeout) as response:
        text = response.read().decode()
    try:
        return response.status, json.loads(text) if text else None
    except ValueError:
        return response.status, text


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class FakeEngine:
    """Stands where engined stands: answers /_ping and /info, hands the rest to swarmd."""

    def __init__(self, path, swarm_socket, name):
        self.path, self.swarm_socket, self.name = path, swarm_socket, name
        self.listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.unlink(path)
        self.listener.bind(str(path))
        self.listener.listen(16)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve_client, args=(connection,), daemon=True).start()

    def serve_client(self, connection):
        try:
            self.answer(connection)
        except OSError:
            pass  # the client, or swarmd, was killed

    def info(self):
        try:
            swarm = request(self.swarm_socket, "GET", "/info", timeout=10)[1]
        except OSError:
            swarm = {"LocalNodeState": "inactive"}
        return {"Name": self.name, "ServerVersion": "0.1.0", "NCPU": 2, "MemTotal": 1 << 30, "Labels": ["disk=ssd"],
                "Plugins": {"Volume": ["local"], "Network": ["bridge"], "Log": ["json-file"]}, "Swarm": swarm}

    def answer(self, connection):
        with connection:
            stream = connection.makefile("rwb")
            while True:
                line = stream.readline().decode().split()
                if len(line) < 3:
                    return
                length = 0
                while (header := stream.readline().decode().strip()):
                    name, _, value = header.partition(":")
                    if name.lower() == "content-length":
                        length = int(value)
                body = stream.read(length)
                method, target = line[0], line[1]
                extra = ""
                if target.split("?")[0].endswith("/_ping"):
                    status, text = 200, b"OK"
                    extra = "Api-Version: 1.41\r\nOsType: linux\r\n"
                elif target.endswith("/info"):
                    status, text = 200, json.dumps(self.info()).encode()
                else:
                    status, value = request(self.swarm_socket, method, target, json.loads(body) if body else None)
                    text = b"" if value is None else json.dumps(value).encode()
                head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{extra}Content-Length: {len(text)}\r\n\r\n"
                stream.write(head.encode() + (b"" if method == "HEAD" else text))
                stream.flush()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Engine:
    """engined itself, under the node's host name."""

    def __init__(self, node):
        self.node = node
        self.process = None
        self.start()

    def start(self):
        node = self.node
        log = open(node.folder / "engined.log", "ab")
        command = ["nsenter", f"--net=/run/netns/{node.namespace}", "unshare", "--uts", "sh", "-c",
                   'hostname "$1" && shift && exec "$@"', "sh", node.name, str(BIN / "engined"), "-H", f"unix://{node.engine_socket}",
                   "--data-root", str(node.folder / "data"), "--exec-root", str(node.folder / "exec"),
                   "--pidfile", str(node.folder / "engined.pid"), "--swarm-socket", str(node.socket)]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        log.close()
        wait_until(lambda: self.answers(), 20, f"engined of {node.name} answers")

    def answers(self):
        assert self.process.poll() is None, (self.node.folder / "engined.log").read_text()[-2000:]
        try:
            return request(self.node.engine_socket, "GET", "/_ping")[0] == 200
        except OSError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


class Node:
    def __init__(self, cluster, index):
        self.cluster, self.index = cluster, index
        self.name = f"node{index}"
        self.address = f"10.213.0.{index}"
        self.namespace = f"{cluster.prefix}n{index}"
        self.folder = cluster.folder / self.name
        self.folder.mkdir()
        self.socket = self.folder / "api.sock"
        self.engine_socket = self.folder / "docker.sock"
        self.process = None
        self.flags = []
        self.engine = FakeEngine(self.engine_socket, self.socket, self.name)

    def use_engined(self):
        self.engine.close()
        self.engine_socket.unlink()
        self.engine = Engine(self)

    def start(self):
        assert self.process is None, f"{self.name} runs already"
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.namespace}", str(BIN / "swarmd"), "--state-dir", str(self.folder / "state"),
             "--api-socket", str(self.socket), "--engine-socket", str(self.engine_socket), "--debug", *self.flags],
            stdout=log, stderr=log)
        log.close()
        wait_until(lambda: self.answers(), 10, f"{self.name} serves its API")

    def answers(self):
        assert self.process.poll() is None, self.log()
        try:
            return self.get("/info")[0] == 200
        except OSError:
            return False

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        status = self.process.wait(10)
        self.process = None
        return status

    def kill(self):
        self.end(signal.SIGKILL)

    def log(self):
        return (self.folder / "log").read_text()[-4000:]

    def link(self, state):
        ip("-n", self.cluster.switch, "link", "set", f"p{self.index}", state)

    def get(self, target):
        return request(self.socket, "GET", "/v1.41" + target)

    def post(self, target, body=None):
        return request(self.socket, "POST", "/v1.41" + target, {} if body is None else body)

    def delete(self, target):
        return request(self.socket, "DELETE", "/v1.41" + target)

    def info(self):
        return self.get("/info")[1]

    @property
    def id(self):
        return self.info()["NodeID"]

    def init(self):
        status, node_id = self.post("/swarm/init", {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": self.address})
        assert status == 200, node_id
        return node_id

    def tokens(self):
        status, swarm = self.get("/swarm")
        assert status == 200, swarm
        return swarm["JoinTokens"]

    def join(self, manager, role="Worker", token=None):
        status, body = self.post("/swarm/join", {
            "ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": self.address, "RemoteAddrs": [f"{manager.address}:2377"],
            "JoinToken": token or manager.tokens()[role]})
        assert status == 200, body
        return self.id

    def nodes(self):
        """Node objects by id, or raises."""
        status, nodes = self.get("/nodes")
        if status != 200:
            raise SwarmError(status, nodes)
        return {node["ID"]: node for node in nodes}

    def update(self, node_id, change, attempts=30):
        """Reads a node, changes its spec and writes it, as the client does; again on a conflict of versions."""
        last = None
        for _ in range(attempts):
            status, node = self.get(f"/nodes/{node_id}")
            if status == 200:
                change(node["Spec"])
                status, node = self.post(f"/nodes/{node_id}/update?version={node['Version']['Index']}", node["Spec"])
                if status == 200:
                    return
            last = (status, node)
            time.sleep(0.2)
        raise SwarmError(*last)

    def label(self, node_id, key, value):
        self.update(node_id, lambda spec: spec.setdefault("Labels", {}).update({key: value}))

    def set_role(self, node_id, role):
        self.update(node_id, lambda spec: spec.update(Role=role))

    def docker(self, *arguments, check=True):
        result = subprocess.run([DOCKER, "-H", f"unix://{self.engine_socket}", *arguments], capture_output=True, text=True,
                                timeout=60, env={"PATH": os.environ["PATH"], "HOME": str(self.folder)})
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout if check else result

    def close(self):
        if self.process:
            self.kill()
        self.engine.close()


class SwarmError(Exception):
    pass


class Cluster:
    def __init__(self, folder, count):
        self.folder = pathlib.Path(folder)
        self.prefix = "sw" + secrets.token_hex(3)
        self.switch = self.prefix + "s"
        self.namespaces = []
        try:
            self.add_namespace(self.switch)
            ip("-n", self.switch, "link", "add", "br0", "type", "bridge")
            ip("-n", self.switch, "link", "set", "br0", "up")
            self.nodes = [self.add_node(index + 1) for index in range(count)]
        except BaseException:
            self.remove_namespaces()
            raise

    def add_namespace(self, name):
        ip("netns", "add", name)
        self.namespaces.append(name)
        ip("-n", name, "link", "set", "lo", "up")

    def add_node(self, index):
        node = Node(self, index)
        self.add_namespace(node.namespace)
        ip("link", "add", "eth0", "netns", node.namespace, "type", "veth", "peer", "name", f"p{index}", "netns", self.switch)
        ip("-n", node.namespace, "addr", "add", f"{node.address}/24", "dev", "eth0")
        ip("-n", node.namespace, "link", "set", "eth0", "up")
        ip("-n", self.switch, "link", "set", f"p{index}", "master", "br0", "up")
        return node

    def form(self, managers):
        """All nodes started; the first `managers` of them are managers, the rest workers. Gives their ids."""
        for node in self.nodes:
            node.start()
        first = self.nodes[0]
        ids = [first.init()]
        tokens = first.tokens()
        for node in self.nodes[1:]:
            ids.append(node.join(first, token=tokens["Manager" if node.index <= managers else "Worker"]))
        return ids

    def remove_namespaces(self):
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "del", name], check=False)

    def close(self):
        for node in self.nodes:
            node.close()
        self.remove_namespaces()


def wait_until(condition, seconds, what):
    """Gives the first true value of condition(); a SwarmError counts as not yet."""
    end = time.monotonic() + seconds
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
        except SwarmError as error:
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}; last: {last}")
        time.sleep(0.05)
