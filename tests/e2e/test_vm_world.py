"""What makes a lab worth breaking: forwarded ports. One boot of the machines serves all tests, which run in file
order."""
import os
import pathlib
import signal
import socket
import threading

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


def test_a_forward_finds_a_machine_that_was_killed_and_is_up_again(lab, ports):
    machine = next(m for m in lab.status()["machines"] if m["name"] == "vm1")
    os.kill(machine["pid"], signal.SIGKILL)
    lab.run("up")
    start_service(lab, "vm1")
    assert ask(ports[0], b"x" * 1000) == "got 1000"


def test_destroy_leaves_nothing(lab):
    status = lab.status()
    lab.run("destroy", "-y")
    assert not pathlib.Path(status["directory"]).exists()
