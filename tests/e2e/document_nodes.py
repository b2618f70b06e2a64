"""The tutorial's three machines as network namespaces on this host, for running its documents without virtual
machines. Each has its own host name, mounts, /run, /vagrant and /etc/docker/certs.d, a container engine, and a mirror at
127.0.0.1:5005, served by labd from the image catalogue. Nothing is shared with the host but its kernel and programs."""
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("LAB_BIN", ROOT / "build/release/bin"))
MIRROR_PORT = 5005
IMAGES = ("busybox", "debian", "hello-world", "nginx", "node", "redis", "registry")
ADDRESSES = {"vm1": "192.168.50.4", "vm2": "192.168.50.5", "vm3": "192.168.50.6"}
REGISTRY = "192.168.50.4:443"


def run(*words, **more):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, **more)


def wait_for(what, condition, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    raise TimeoutError(f"{what} within {seconds} s")


def make_certificates(folder):
    """A CA, and a certificate of the registry's address, as `lab up` makes them."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    (folder / "extensions").write_text(f"subjectAltName=IP:{ADDRESSES['vm1']}")
    run("openssl", "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=documents",
        cwd=folder)
    run("openssl", "req", *key, "-keyout", "domain.key", "-out", "request", "-subj", "/CN=registry", cwd=folder)
    run("openssl", "x509", "-req", "-in", "request", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out",
        "domain.crt", "-days", "2", "-extfile", "extensions", cwd=folder)


class Node:
    """One machine: a process that holds its mounts and host name, and the daemons beside it."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.namespace = f"{lab.prefix}{name}"
        self.folder = lab.folder / name
        self.daemons = []
        for part in ("run", "vagrant", "certs", "home", "state"):
            (self.folder / part).mkdir(parents=True)
        run("ip", "netns", "add", self.namespace)

    def connect(self, number):
        veth = f"e{self.lab.prefix[-4:]}{number}"
        run("ip", "link", "add", "lan0", "netns", self.namespace, "type", "veth", "peer", "name", veth, "netns",
            self.lab.switch)
        run("ip", "-n", self.lab.switch, "link", "set", veth, "master", "switch", "up")
        run("ip", "-n", self.namespace, "link", "set", "lo", "up")
        run("ip", "-n", self.namespace, "address", "add", f"{ADDRESSES[self.name]}/24", "dev", "lan0")
        run("ip", "-n", self.namespace, "link", "set", "lan0", "up")

    def start(self):
        binds = {"run": "/run", "vagrant": "/vagrant", "certs": "/etc/docker/certs.d"}
        lines = [f"hostname {self.name}"]
        for part, target in binds.items():
            lines.append(f"mount --bind {self.folder / part} {target}")
        # crun refuses hosts with a cgroup v2 beside v1 that has controllers: take the last one out of it.
        lines.append("if [ -d /sys/fs/cgroup/unified ] && grep -q hugetlb /sys/fs/cgroup/unified/cgroup.controllers; then"
                     " mkdir -p /sys/fs/cgroup/hugetlb; mount -t cgroup -o hugetlb none /sys/fs/cgroup/hugetlb; fi")
        lines.append("exec sleep infinity")
        for target in binds.values():
            pathlib.Path(target).mkdir(parents=True, exist_ok=True)
        self.holder = subprocess.Popen(["nsenter", f"--net=/run/netns/{self.namespace}", "unshare", "--mount", "--uts",
                                        "sh", "-ec", "; ".join(lines)])
        certificates = pathlib.Path(self.folder / "certs" / REGISTRY)
        certificates.mkdir()
        shutil.copy(self.lab.folder / "ca.crt", certificates / "ca.crt")
        if self.name == "vm1":
            (self.folder / "vagrant/tmp").mkdir()
            for part in ("domain.crt", "domain.key"):
                shutil.copy(self.lab.folder / part, self.folder / "vagrant/tmp" / part)
        wait_for(f"{self.name} is called so", lambda: self.sh("hostname").stdout.strip() == self.name, 10)
        self.start_mirror()
        self.lab.start_engine(self)
        wait_for(f"the engine of {self.name} answers", lambda: self.sh("docker version").returncode == 0, 60)

    def start_mirror(self):
        config = {"lab": f"documents-{self.name}", "control_socket": str(self.folder / "labd.sock"),
                  "subnet": "192.168.50.0/24", "ports": [], "links": [],
                  "mirror": {"address": "127.0.0.1", "port": MIRROR_PORT, "catalogue": str(self.lab.catalogue)}}
        (self.folder / "labd.json").write_text(json.dumps(config))
        self.spawn("labd", BIN / "labd", "--config", self.folder / "labd.json")

    def enter(self):
        return ["nsenter", f"--target={self.holder.pid}", "--net", "--mount", "--uts"]

    def spawn(self, name, *words):
        with open(self.folder / f"{name}.log", "ab") as log:
            self.daemons.append(subprocess.Popen([*self.enter(), *map(str, words)], stdout=log, stderr=log,
                                                 stdin=subprocess.DEVNULL, start_new_session=True))

    def sh(self, command):
        return subprocess.run([*self.enter(), "sh", "-c", command], capture_output=True, text=True, timeout=60)

    def stop(self):
        for daemon in reversed(self.daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(30)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        # What the engine left running (containers survive it) goes with the namespace's processes.
        pids = subprocess.run(["ip", "netns", "pids", self.namespace], capture_output=True, text=True).stdout.split()
        for pid in pids:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.holder.wait()
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False)


class DocumentLab:
    def __init__(self, folder, engine):
        self.folder, self.engine = folder, engine
        self.prefix = f"doc{secrets.token_hex(2)}"
        self.switch = f"{self.prefix}switch"
        cache = pathlib.Path(os.environ.get("LAB_CACHE") or
                             pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "lab")
        self.catalogue = cache / "catalogue"
        self.nodes = []

    def __enter__(self):
        # All that a document may pull: a mirror in a namespace reaches no package source to build it from.
        run(BIN / "lab", "catalogue", *IMAGES, timeout=1200)
        make_certificates(self.folder)
        run("ip", "netns", "add", self.switch)
        run("ip", "-n", self.switch, "link", "add", "switch", "type", "bridge")
        run("ip", "-n", self.switch, "link", "set", "switch", "up")
        try:
            for number, name in enumerate(ADDRESSES):
                self.nodes.append(Node(self, name))
                self.nodes[-1].connect(number)
                self.nodes[-1].start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.stop()
        subprocess.run(["ip", "netns", "delete", self.switch], check=False)

    def start_engine(self, node):
        mirror = f"http://127.0.0.1:{MIRROR_PORT}"
        if self.engine == "dockerd":
            node.spawn("dockerd", "dockerd", "--registry-mirror", mirror, "--data-root", node.folder / "state/docker")
        else:
            node.spawn("swarmd", BIN / "swarmd", "--state-dir", node.folder / "state/swarmd")
            node.spawn("engined", BIN / "engined", "--registry-mirror", mirror, "--data-root",
                       node.folder / "state/engined")

    def run_documents(self, *documents, junit_xml):
        """`lab run` of the documents; a word per machine says how to get a shell there."""
        script = self.folder / "shell"
        # A home of its own by name: a mount over the real one would hide a cache and a clone that lie there.
        cases = "".join(f"{node.name}) export HOME={node.folder / 'home'}; set -- {' '.join(node.enter())} ;;\n"
                        for node in self.nodes)
        # The programs of a Debian machine, whatever else the host has in front of them.
        script.write_text("export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
                          f"case $1 in\n{cases}esac\nexec \"$@\" sh -c 'cd && exec bash --norc'\n")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
        return subprocess.run([BIN / "lab", "run", "--via", f"exec sh {script} {{machine}}", "--junit-xml", junit_xml,
                               *documents], capture_output=True, text=True, timeout=900,
                              env=environment, cwd=ROOT)

    def logs(self):
        text = ""
        for node in self.nodes:
            for log in sorted(node.folder.glob("*.log")):
                text += f"--- {node.name} {log.name}\n" + "".join(log.read_text().splitlines(keepends=True)[-25:])
        return text
