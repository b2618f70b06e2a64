"""What makes a lab worth breaking: forwarded ports, snapshots, suspension, a host that dies. One boot of the machines
serves all tests, which run in file order."""
import json
import os
import pathlib
import signal
import socket
import threading
import time

import pytest

from lab_command import UP_SECONDS_MAX, Lab

LABFILE = """name = "world"
forward = [{{ host = {port}, machine = "vm1", port = 7000 }}]
[machines.vm1]
role = "manager"
[machines.vm2]
[swarm]
"""
# Reads a request to its end and answers with its length.
SERVICE = """use IO::Socket::INET; use IO::Select;
my $listener = IO::Socket::INET->new(LocalPort => 7000, Listen => 512, ReuseAddr => 1) or die $!;
my $all = IO::Select->new($listener);
my %length;
while (1) { for my $one ($all->can_read) {
  if ($one == $listener) { my $new = $listener->accept; $all->add($new); $length{$new} = 0; next }
  my $got = sysread($one, my $bytes, 65536);
  if ($got) { $length{$one} += $got; next }
  syswrite($one, "got $length{$one}") if defined $got;
  $all->remove($one); close $one } }
"""


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def ports():
    return free_ports(2)


@pytest.fixture(scope="module")
def lab(tmp_path_factory, ports):
    made = Lab(tmp_path_factory.mktemp("world"), LABFILE.format(port=ports[0]))
    try:
        made.run("up", timeout=UP_SECONDS_MAX)
        yield made
    finally:
        done = made.run("destroy", "-y", check=False)
        assert done.returncode == 0, done.stderr


def ask(port, request):
    """Sends, ends its direction, and reads the answer to its end."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as one:
        one.sendall(request)
        one.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := one.recv(65536):
            answer += piece
        return answer.decode()


def start_service(lab, machine):
    script = lab.folder / "service.pl"
    script.write_text(SERVICE)
    lab.run("cp", str(script), f"{machine}:/root/service.pl")
    lab.on(machine, "sh", "-c", "perl /root/service.pl </dev/null >/dev/null 2>&1 & "
           "until perl -MIO::Socket::INET -e 'exit !IO::Socket::INET->new(\"127.0.0.1:7000\")'; do sleep 0.05; done")


def test_a_forward_streams_whole_requests_and_answers(lab, ports):
    start_service(lab, "vm1")
    assert ask(ports[0], b"x" * 20_000_000) == "got 20000000"


def test_two_hundred_connections_at_once(lab, ports):
    answers = []
    threads = [threading.Thread(target=lambda size=size: answers.append(ask(ports[0], b"x" * size)))
               for size in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(f"got {size}" for size in range(200))


def test_forwards_live_through_a_partition_and_a_crash_of_labd(lab, ports):
    lab.run("forward", "add", f"{ports[1]}:vm1:7000")
    lab.run("net", "partition", "vm1", "/", "vm2")
    assert ask(ports[1], b"x" * 100) == "got 100"
    lab.run("net", "heal")
    os.kill(lab.status()["labd"]["pid"], signal.SIGKILL)
    lab.run("up")
    assert ask(ports[0], b"x") == ask(ports[1], b"x") == "got 1"
    lab.run("forward", "rm", str(ports[1]))
    with pytest.raises(ConnectionRefusedError):
        ask(ports[1], b"x")


def test_up_says_which_port_is_taken(lab, ports):
    labfile = lab.folder / "labfile.toml"
    before = labfile.read_text()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        more = f"forward = [{{ host = {taken}, machine = 'vm2', port = 22 }}, "
        lab.write_labfile(before.replace("forward = [", more))
        for _ in range(2):
            refused = lab.run("up", check=False)
            assert refused.returncode != 0
            assert f"port {taken} of 127.0.0.1, which is to lead to vm2:22, is taken" in refused.stderr
    lab.write_labfile(before)
    lab.run("up")


def clock_is_right(lab, machine):
    """Between before and after of the question, which takes its time on a busy host."""
    before = time.time()
    theirs = float(lab.on(machine, "date", "+%s.%N"))
    return before - 2 < theirs < time.time() + 2


def test_a_snapshot_brings_memory_disk_and_swarm_back(lab, ports):
    lab.on("vm1", "docker", "run", "-d", "--name", "kept", "busybox", "sleep", "10000")
    lab.on("vm2", "sh", "-c", "echo before > /root/note; mkdir -p /run/only; echo memory > /run/only/note")
    lab.run("snapshot", "save", "one")
    lab.on("vm1", "docker", "rm", "-f", "kept")
    lab.on("vm2", "sh", "-c", "echo after > /root/note; echo more > /root/new; rm /run/only/note")
    lab.on("vm1", "docker", "node", "update", "--availability", "drain", "vm2")
    changes = {(c["where"], c["kind"], c["name"]) for c in
               json.loads(lab.run("snapshot", "diff", "one", "--json").stdout)["changes"]}
    assert {("vm1", "container", "kept"), ("vm2", "file", "/root/note"), ("vm2", "file", "/root/new"),
            ("swarm", "node", "vm2")} <= changes

    lab.run("snapshot", "restore", "one")
    assert lab.nodes()["vm2"][:2] == ("Ready", "Active")
    assert lab.on("vm1", "docker", "inspect", "-f", "{{.State.Running}}", "kept").strip() == "true"
    assert lab.on("vm2", "cat", "/root/note", "/run/only/note").split() == ["before", "memory"]
    assert lab.on("vm2", "sh", "-c", "test -e /root/new || echo gone").strip() == "gone"
    assert clock_is_right(lab, "vm1") and clock_is_right(lab, "vm2")
    assert "1 received" in lab.on("vm1", "ping", "-c1", "-W5", "vm2")
    assert ask(ports[0], b"x" * 1000) == "got 1000"  # the service in its memory, through a new relay
    assert lab.nodes()["vm2"][0] == "Ready"


def test_snapshots_are_listed_and_removed(lab):
    listed = json.loads(lab.run("snapshot", "ls", "--json").stdout)["snapshots"]
    assert [(one["name"], one["machines"]) for one in listed] == [("one", ["vm1", "vm2"])]
    assert listed[0]["bytes"] > 0
    assert lab.run("snapshot", "save", "one", check=False).returncode != 0
    lab.run("snapshot", "rm", "one")
    refused = lab.run("snapshot", "restore", "one", check=False)
    assert refused.returncode != 0 and 'there is no snapshot "one"' in refused.stderr


def test_suspended_machines_go_on_where_they_were(lab, ports):
    lab.on("vm2", "sh", "-c", "echo memory > /run/only/note")
    lab.run("suspend")
    assert [m["state"] for m in lab.status()["machines"]] == ["suspended", "suspended"]
    lab.run("up")
    assert lab.on("vm2", "cat", "/run/only/note").strip() == "memory"
    assert clock_is_right(lab, "vm2")
    assert lab.nodes()["vm2"][0] == "Ready"
    assert ask(ports[0], b"x") == "got 1"


def test_up_brings_all_back_after_the_host_died(lab, ports):
    lab.on("vm2", "docker", "run", "-d", "--name", "again", "--restart", "always", "busybox", "sleep", "10000")
    status = lab.status()
    for process in [m["pid"] for m in status["machines"]] + [status["labd"]["pid"]]:
        os.kill(process, signal.SIGKILL)
    lab.run("up")
    lab.wait_for_node("vm2", "Ready", 60)
    deadline = time.monotonic() + 60
    while lab.on("vm2", "docker", "inspect", "-f", "{{.State.Running}}", "again").strip() != "true":
        assert time.monotonic() < deadline, "a container that restarts always does not run"
        time.sleep(0.2)
    start_service(lab, "vm1")
    assert ask(ports[0], b"x" * 1000) == "got 1000"


def test_destroy_leaves_nothing(lab):
    status = lab.status()
    lab.run("destroy", "-y")
    assert not pathlib.Path(status["directory"]).exists()
