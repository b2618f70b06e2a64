"""labd and `lab net` with real network stacks: three namespaces stand in for the virtual machines."""
import hashlib
import json
import os
import pathlib
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(os.environ.get("LAB_BIN", HERE.parent.parent / "build/release/bin"))
MACHINES = ("vm1", "vm2", "vm3")
LABFILE = """name = "demo"
[machines.vm1]
address = "192.168.50.4"
role = "manager"
[machines.vm2]
address = "192.168.50.5"
[machines.vm3]
address = "192.168.50.6"
"""


def free_udp_ports(count):
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Node:
    def __init__(self, port):
        self.address = port["address"]
        self.process = subprocess.Popen(
            [sys.executable, HERE / "tap_node.py", str(port["switch_port"]), str(port["nic_port"]), port["mac"],
             port["address"] + "/24"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.read_line(30) == "ready\n"

    def read_line(self, seconds):
        assert select.select([self.process.stdout], [], [], seconds)[0], "the node is silent"
        return self.process.stdout.readline()

    def start(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def result(self, seconds=60):
        return json.loads(self.read_line(seconds))

    def run(self, command, seconds=60):
        self.start(command)
        return self.result(seconds)

    def reaches(self, other):
        return self.run(f"ping -n -c 2 -i 0.2 -W 1 {other.address}")["status"] == 0

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)


class Net:
    """A lab folder as `lab up` makes it, a labd in it, and the nodes on its switch."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "labfile.toml").write_text(LABFILE)
        digest = hashlib.sha256(str(folder / "labfile.toml").encode()).hexdigest()
        self.state = folder / "cache" / "labs" / f"demo-{digest[:6]}"
        self.state.mkdir(parents=True)
        self.socket = self.state / "labd.sock"
        ports = free_udp_ports(2 * len(MACHINES))
        self.config = {
            "lab": "demo", "control_socket": str(self.socket), "subnet": "192.168.50.0/24",
            "mirror": {"address": "127.0.0.1", "port": 0, "catalogue": str(folder / "cache" / "catalogue")},
            "ports": [{"machine": name, "mac": f"52:54:00:00:00:{i + 1:02}", "address": f"192.168.50.{i + 4}",
                       "switch_port": ports[2 * i], "nic_port": ports[2 * i + 1]}
                      for i, name in enumerate(MACHINES)],
            "links": []}
        self.write_config()
        self.labd = None
        self.nodes = {}

    def write_config(self):
        (self.state / "labd.json").write_text(json.dumps(self.config))

    def start_labd(self):
        with open(self.state / "labd.log", "a") as log:
            self.labd = subprocess.Popen([BIN / "labd", "--config", self.state / "labd.json"], stderr=log)
        deadline = time.monotonic() + 20
        while self.lab("show", check=False).returncode != 0:
            assert self.labd.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def log(self):
        return (self.state / "labd.log").read_text()

    def lab(self, *words, check=True):
        done = subprocess.run([BIN / "lab", "net", *words], cwd=self.folder, capture_output=True, text=True,
                              timeout=60, env={**os.environ, "LAB_CACHE": str(self.folder / "cache")})
        if check:
            assert done.returncode == 0, done.stderr
        return done

    def links(self):
        shown = json.loads(self.lab("show", "--json").stdout)
        return {(link["from"], link["to"]): link for link in shown["links"]}

    def end_labd(self, number=signal.SIGTERM):
        self.labd.send_signal(number)
        return self.labd.wait(timeout=20)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    made = Net(tmp_path_factory.mktemp("net"))
    try:
        made.start_labd()
        for port in made.config["ports"]:
            made.nodes[port["machine"]] = Node(port)
        yield made
    finally:
        for node in made.nodes.values():
            node.close()
        if made.labd.poll() is None:
            made.end_labd()


@pytest.fixture
def vm1(net):
    net.lab("heal")
    net.lab("reset")
    return net.nodes["vm1"]


@pytest.fixture
def vm2(net):
    return net.nodes["vm2"]


@pytest.fixture
def vm3(net):
    return net.nodes["vm3"]


def test_every_node_reaches_every_other(net, vm1, vm2, vm3):
    assert vm1.reaches(vm2) and vm1.reaches(vm3) and vm2.reaches(vm3)
    assert net.links()["vm1", "vm2"]["counters"]["frames"] > 0


def round_trips(node, other):
    output = node.run(f"ping -n -c 6 -i 0.2 {other.address}")["output"]
    return [float(t) for t in re.findall(r"time=([\d.]+)", output)]


def test_a_delay_shows_in_the_round_trip(net, vm1, vm2):
    # Never less than the delay; a busy machine may add to some of them.
    net.lab("set", "vm1", "vm2", "--delay", "20ms")
    times = round_trips(vm1, vm2)
    assert len(times) == 6 and 40 <= min(times) < 60, times
    net.lab("set", "vm1->vm2", "delay", "0ms")
    times = round_trips(vm1, vm2)
    assert len(times) == 6 and 20 <= min(times) < 38, times


def test_loss_is_the_share_that_was_set(net, vm1, vm2):
    assert vm1.reaches(vm2)
    net.lab("set", "vm1->vm2", "loss", "30%")
    output = vm1.run(f"ping -n -q -c 300 -i 0.005 -W 1 {vm2.address}")["output"]
    received = int(re.search(r"(\d+) received", output).group(1))
    assert 170 <= received <= 250, output  # 210 +- 5 standard deviations


def test_a_rate_bounds_a_tcp_transfer(net, vm1, vm2):
    net.lab("set", "vm1", "vm2", "--rate", "20mbit")
    vm2.start(f"timeout 60 {sys.executable} {HERE / 'tcp_transfer.py'} 9000")
    send = vm1.run(f"timeout 60 {sys.executable} {HERE / 'tcp_transfer.py'} {vm2.address} 9000 4000000")
    assert send["status"] == 0, send["output"]
    sink = json.loads(vm2.result()["output"])
    assert sink["bytes"] == 4_000_000
    mbit = sink["bytes"] * 8 / sink["seconds"] / 1e6
    assert 12 <= mbit <= 21, sink


def test_a_partition_cuts_and_heals(net, vm1, vm2, vm3):
    assert net.lab("partition", "vm1", "/", "vm2", "vm3").stdout == "partition: vm1 / vm2 vm3\n"
    assert not vm1.reaches(vm2) and not vm1.reaches(vm3) and vm2.reaches(vm3)
    assert net.links()["vm1", "vm2"]["counters"]["dropped"]["partition"] > 0
    net.lab("heal")
    assert vm1.reaches(vm2) and vm1.reaches(vm3)


class Capture:
    """`lab net capture` beside the test; it has begun when this returns."""

    def __init__(self, net, file, *words):
        self.file = file
        with open(file, "wb") as out:
            self.process = subprocess.Popen(
                [BIN / "lab", "net", "capture", "-w", "-", *words], cwd=net.folder, stdout=out,
                env={**os.environ, "LAB_CACHE": str(net.folder / "cache")})
        deadline = time.monotonic() + 20
        while file.stat().st_size == 0:
            assert self.process.poll() is None and time.monotonic() < deadline, net.log()
            time.sleep(0.02)

    def end(self, number=None):
        if number:
            self.process.send_signal(number)
        assert self.process.wait(timeout=20) == 0

    def lines(self):
        return subprocess.run(["tcpdump", "-n", "-r", self.file], capture_output=True, text=True, check=True,
                              timeout=20).stdout.splitlines()


def test_a_capture_has_the_frames_that_its_filter_lets_through(net, vm1, vm2, tmp_path):
    capture = Capture(net, tmp_path / "icmp.pcapng", "vm1<->vm2", "-c", "4", "--", "icmp")
    assert vm1.reaches(vm2)
    capture.end()
    assert ["request" in line for line in capture.lines()] == [True, False, True, False]
    assert b"vm1->vm2" in capture.file.read_bytes() and b"vm3" not in capture.file.read_bytes()


def test_a_capture_of_several_links_has_no_other(net, vm1, vm2, vm3, tmp_path):
    capture = Capture(net, tmp_path / "two.pcapng", "vm1->vm2", "vm3->vm2", "--", "icmp")
    assert vm1.reaches(vm2) and vm3.reaches(vm2)
    capture.end(signal.SIGINT)
    senders = {line.split()[2] for line in capture.lines() if "request" in line}
    assert senders == {"192.168.50.4", "192.168.50.6"} and not [line for line in capture.lines() if "reply" in line]


def test_a_capture_is_read_while_it_runs_and_ends_with_its_reader(net, vm1, vm2):
    with subprocess.Popen([BIN / "lab", "net", "capture", "vm1", "-w", "-", "--", "icmp"], cwd=net.folder,
                          env={**os.environ, "LAB_CACHE": str(net.folder / "cache")}, stdout=subprocess.PIPE) as capture:
        with subprocess.Popen(["tcpdump", "-n", "-l", "-c", "1", "-r", "-"], stdin=capture.stdout, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reader:
            capture.stdout.close()
            deadline = time.monotonic() + 60
            while not select.select([reader.stdout], [], [], 0)[0]:
                assert vm1.reaches(vm2) and time.monotonic() < deadline
            assert "request" in reader.stdout.readline()
        while capture.poll() is None:
            assert vm1.reaches(vm2) and time.monotonic() < deadline
        assert capture.returncode == -signal.SIGPIPE


def test_a_capture_says_which_fault_took_a_frame_and_ends_whole(net, vm1, vm2, tmp_path):
    assert vm1.reaches(vm2)
    net.lab("set", "vm1->vm2", "loss", "100%")
    capture = Capture(net, tmp_path / "loss.pcapng", "vm1")
    assert not vm1.reaches(vm2)
    capture.end(signal.SIGINT)
    assert capture.lines()
    assert b"dropped: loss" in capture.file.read_bytes()
    done = net.lab("capture", "-w", str(tmp_path / "x"), "--", "no", "filter", check=False)
    assert done.returncode == 2 and 'the filter "no filter"' in done.stderr


def test_a_killed_labd_comes_back_with_what_was_set(net, vm1, vm2, vm3):
    net.lab("partition", "vm3")
    net.lab("set", "vm1", "vm2", "--delay", "1ms")
    net.end_labd(signal.SIGKILL)
    assert "`lab up` starts it" in net.lab("show", check=False).stderr
    assert not vm1.reaches(vm2)
    net.start_labd()
    assert vm1.reaches(vm2) and not vm1.reaches(vm3)
    assert net.links()["vm2", "vm1"]["quality"] == {"delay": "1ms"}


def test_a_labd_that_was_asked_to_end_forgets_what_was_set(net, vm1, vm2):
    net.lab("set", "vm1", "vm2", "--loss", "100%")
    assert net.end_labd() == 0
    assert not net.socket.exists()
    net.start_labd()
    assert vm1.reaches(vm2)


def test_a_second_labd_refuses_and_harms_nothing(net, vm1, vm2):
    done = subprocess.run([BIN / "labd", "--config", net.state / "labd.json"], capture_output=True, text=True,
                          timeout=20)
    assert done.returncode != 0 and "runs for" in done.stderr
    assert vm1.reaches(vm2)


def test_only_its_user_can_open_the_control_socket(net, vm1):
    assert stat.S_IMODE(net.socket.stat().st_mode) == 0o600


def test_mistakes_are_answered_with_what_is_right(net, vm1):
    for words, status, message in (
            (("set", "vm1", "vm9", "--loss", "1%"), 3, "no machine \"vm9\" in this lab; there are vm1, vm2, vm3"),
            (("set", "vm1", "vm2", "--delay", "5"), 2, "delay: \"5\" is not a time"),
            (("set", "vm1", "vm2", "--jitter", "5ms"), 2, "jitter needs a delay"),
            (("set", "vm1", "vm2"), 2, "nothing to set"),
            (("partition", "vm1", "/", "vm1"), 2, "named twice"),
            (("show", "vm8"), 3, "no machine \"vm8\"")):
        done = net.lab(*words, check=False)
        assert done.returncode == status and message in done.stderr, (words, done)
    assert all(link["quality"] == {} for link in net.links().values())
