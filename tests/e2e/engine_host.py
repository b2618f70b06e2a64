"""A private host for one engined: its own mount and network namespace on this machine, so that bridges, rules, mounts
and addresses stay inside. On machines with hybrid cgroups a v1 hugetlb hierarchy mounted in the namespace takes the
last controller out of v2: crun refuses to start otherwise. The machine's own hierarchies stay as they are."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
REGISTRY_PORT = 5555
CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd", "unified")

# Runs in the new mount namespace; $1 is a folder for the cgroup mounts.
ENTER = """
mount --make-rprivate /
if [ -d /sys/fs/cgroup/unified ]; then
  mkdir "$1" && mount -t tmpfs none "$1"
  for name in %s; do
    [ -d /sys/fs/cgroup/$name ] || continue
    mkdir "$1/$name" && mount --bind /sys/fs/cgroup/$name "$1/$name"
  done
  mkdir "$1/hugetlb" && mount -t cgroup -o hugetlb cgroup "$1/hugetlb"
  mount --rbind "$1" /sys/fs/cgroup
fi
echo ready
exec sleep infinity
""" % " ".join(CONTROLLERS)


def engined_binary():
    if folder := os.environ.get("LAB_BIN"):
        return pathlib.Path(folder) / "engined"
    for preset in (os.environ.get("LAB_PRESET"), "release", "dev"):
        path = ROOT / "build" / str(preset) / "bin" / "engined"
        if preset and path.exists():
            return path
    raise RuntimeError("engined is not built")


def wait_for(what, condition, seconds=20):
    deadline = time.monotonic() + seconds
    while True:
        seen = condition()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {seconds} s; last seen: {seen!r}")
        time.sleep(0.02)


class EngineHost:
    def __init__(self, name, flags=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="engined-", dir="/tmp"))
        self.name = name
        self.flags = list(flags)
        self.socket = self.folder / "docker.sock"
        self.log = self.folder / "engined.log"
        self.engine = None
        self.helpers = []
        self.client = "/usr/bin/docker"
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.holder = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{name}", "unshare", "-m", "bash", "-c", ENTER, "bash", self.folder / "cgroup"],
            stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            self.prepare()
        except BaseException:
            self.close()
            raise

    def prepare(self):
        assert self.holder.stdout.readline() == "ready\n", "no private namespaces"
        self.run("ip", "link", "set", "lo", "up")
        self.helpers.append(self.popen("/usr/bin/python3", ROOT / "tests/e2e/tiny_registry.py", str(REGISTRY_PORT)))
        wait_for("the registry", lambda: self.run(
            "curl", "-s", f"http://127.0.0.1:{REGISTRY_PORT}/v2/", check=False).stdout == "{}")
        self.start()

    def inside(self, *command):
        return ["nsenter", "-t", str(self.holder.pid), "-m", "-n", *map(str, command)]

    def popen(self, *command, **options):
        return subprocess.Popen(self.inside(*command), start_new_session=True, **options)

    def run(self, *command, check=True, timeout=60, **options):
        """Runs a program in the namespaces."""
        done = subprocess.run(self.inside(*command), capture_output=True, text=True, timeout=timeout, **options)
        if check:
            assert done.returncode == 0, f"{command} -> {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def start(self):
        config = self.folder / "daemon.json"
        config.write_text(json.dumps({"registry-mirrors": [f"http://127.0.0.1:{REGISTRY_PORT}"]}))
        with open(self.log, "ab") as log:
            self.engine = self.popen(
                engined_binary(), "-D", "-H", f"unix://{self.socket}", "--data-root", self.folder / "data",
                "--exec-root", self.folder / "exec", "--config-file", config, "--swarm-socket",
                self.folder / "swarm.sock", *self.flags, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_for("the engine's answer", self.answers)

    def answers(self):
        if self.engine.poll() is not None:
            raise AssertionError(f"engined ended: {self.log.read_text()[-2000:]}")
        return self.socket.exists() and self.curl("/_ping", check=False) == "OK"

    def curl(self, target, *arguments, check=True):
        done = self.run("curl", "-s", "-m", "20", "--unix-socket", self.socket, *arguments, f"http://localhost{target}",
                        check=check)
        return done.stdout

    def api(self, method, target, body=None):
        """(status, parsed body)"""
        arguments = ["-X", method, "-w", "\n%{http_code}"]
        if body is not None:
            arguments += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        text, status = self.curl(target, *arguments).rsplit("\n", 1)
        return int(status), json.loads(text) if text.strip() else None

    def kill(self):
        """SIGKILL to the engine alone."""
        self.engine.kill()
        self.engine.wait()

    def stop(self):
        self.engine.terminate()
        self.engine.wait(timeout=20)

    def docker(self, *arguments, check=True, timeout=60, client=None, **options):
        """The stock client. Gives the completed process; `check` wants status 0."""
        environment = dict(os.environ, DOCKER_HOST=f"unix://{self.socket}", DOCKER_CONFIG=str(self.folder / "client"))
        done = subprocess.run([client or self.client, *map(str, arguments)], capture_output=True, text=True,
                              timeout=timeout, env=environment, **options)
        if check:
            assert done.returncode == 0, f"docker {arguments} -> {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def out(self, *arguments, **options):
        return self.docker(*arguments, **options).stdout.strip()

    def inspect(self, name):
        return json.loads(self.out("inspect", name))[0]

    def remove_all(self):
        ids = self.out("ps", "-aq").split()
        if ids:
            self.docker("rm", "-f", "-v", *ids)

    def mounts(self):
        """Of the engine's, not those that the private host is made of."""
        lines = self.run("cat", "/proc/self/mounts").stdout.splitlines()
        return [line for line in lines if f"{self.folder}/data" in line or f"{self.folder}/exec" in line]

    def runs(self):
        return self.engine is not None and self.engine.poll() is None

    def end_monitors(self):
        """Of containers that outlived an engine which is dead when the test ends."""
        for file in ("pid", "monitor.pid"):
            for path in self.folder.glob(f"exec/bundles/*/{file}"):
                try:
                    os.kill(int(path.read_text()), signal.SIGKILL)
                except (OSError, ValueError):
                    pass

    def close(self):
        try:
            if self.runs() and self.answers():
                self.remove_all()
                self.stop()
        finally:
            if self.runs():
                self.engine.kill()
            self.end_monitors()
            for helper in self.helpers:
                helper.kill()
                helper.wait()
            self.holder.send_signal(signal.SIGKILL)
            self.holder.wait()
            subprocess.run(["ip", "netns", "del", self.name], check=False)
            shutil.rmtree(self.folder, ignore_errors=True)
