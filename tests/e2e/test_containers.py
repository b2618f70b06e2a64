"""Containers with the stock docker client against engined on this host."""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest
from engine_host import wait_for

CLIENTS = ["/usr/bin/docker", "/usr/local/bin/docker"]


class Terminal:
    """A docker client on a terminal of our own."""

    def __init__(self, engine, *arguments, rows=30, columns=100):
        environment = dict(os.environ, DOCKER_HOST=f"unix://{engine.socket}", TERM="xterm")
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.master = master
        self.process = subprocess.Popen([engine.client, *arguments], stdin=slave, stdout=slave, stderr=slave,
                                        env=environment, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.seen = ""

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern, seconds=15):
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.seen):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} did not come; seen: {self.seen!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    data = os.read(self.master, 65536)
                except OSError:
                    data = b""
                if not data:
                    assert re.search(pattern, self.seen), f"{pattern!r} did not come; seen: {self.seen!r}"
                self.seen += data.decode(errors="replace")

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(self.process.pid, 28)

    def wait(self, seconds=15):
        status = self.process.wait(timeout=seconds)
        os.close(self.master)
        return status


def address_of(engine, name):
    return engine.inspect(name)["NetworkSettings"]["IPAddress"]


# --- run ---


@pytest.mark.parametrize("client", CLIENTS)
def test_run_prints_output_on_the_right_streams_and_gives_the_exit_status(clean, client):
    if not os.path.exists(client):
        pytest.skip("this client is not installed")
    done = clean.docker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3", check=False,
                        client=client)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)
    assert clean.out("ps", "-aq") == ""


def test_run_pulls_a_missing_image(clean):
    done = clean.docker("run", "--rm", "hello-world")
    assert done.stdout == "Hello from engined!\n"
    assert "Unable to find image 'hello-world:latest' locally" in done.stderr


def test_a_command_that_is_not_there_gives_127_and_one_that_cannot_run_126(clean):
    done = clean.docker("run", "--rm", "busybox", "nosuch", check=False)
    assert done.returncode == 127
    assert 'exec: "nosuch": executable file not found in $PATH: unknown.' in done.stderr
    done = clean.docker("run", "--rm", "busybox", "/etc", check=False)
    assert done.returncode == 126
    assert 'exec: "/etc": permission denied: unknown.' in done.stderr
    done = clean.docker("run", "--rm", "busybox", "/no/such", check=False)
    assert done.returncode == 127
    assert 'exec: "/no/such": stat /no/such: no such file or directory: unknown.' in done.stderr


def test_run_passes_standard_input_to_its_end(clean):
    data = "x" * 300_000 + "\n"
    assert clean.docker("run", "-i", "--rm", "busybox", "wc", "-c", input=data).stdout.strip() == str(len(data))


def test_large_output_arrives_whole(clean):
    done = clean.docker("run", "--rm", "busybox", "sh", "-c", "seq 1 50000")
    assert done.stdout == "".join(f"{i}\n" for i in range(1, 50001))


def test_environment_user_folder_and_hostname(clean):
    show = "echo $A-$B; id; pwd; hostname; touch /new-folder/x && echo written"
    out = clean.out("run", "--rm", "-e", "A=1", "-e", "B=two words", "-u", "web", "-w", "/tmp/deep", "--hostname", "box",
                    "--tmpfs", "/new-folder:mode=1777", "busybox", "sh", "-c", show)
    assert out.splitlines() == ["1-two words", "uid=33(web) gid=33(web) groups=33(web),44(extra)", "/tmp/deep", "box", "written"]


def test_generated_names_are_an_adjective_and_a_surname(clean):
    identity = clean.out("run", "-d", "busybox", "sleep", "100")
    assert re.fullmatch(r"/[a-z]+_[a-z]+\d?", clean.inspect(identity)["Name"])
    assert re.fullmatch(r"[0-9a-f]{64}", identity)


def test_run_interactively_on_a_terminal_with_resize(clean):
    terminal = Terminal(clean, "run", "--rm", "-it", "busybox", "sh")
    terminal.expect(r"/ # ")
    terminal.type("stty size; tty\n")
    terminal.expect(r"30 100\r\n/dev/(pts/0|console)\r\n")
    terminal.resize(44, 120)

    def has_new_size():
        terminal.seen = ""
        terminal.type("stty size\n")
        terminal.expect(r"\d+ \d+\r\n")
        return "44 120" in terminal.seen

    wait_for("the new size", has_new_size)
    terminal.type("exit 5\n")
    assert terminal.wait() == 5


def test_of_many_resizes_at_once_the_last_one_counts(clean):
    clean.docker("run", "-dit", "--name", "shell", "busybox", "sh")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(clean.socket))
        for last in range(20, 40):
            requests = [f"POST /v1.41/containers/shell/resize?h={rows}&w=90 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
                        for rows in (10, 11, last)]
            client.sendall("".join(requests).encode())
            answer = b""
            while answer.count(b"HTTP/1.1 200") < len(requests):
                part = client.recv(65536)
                assert part, answer
                answer += part
            wait_for("the last size", lambda: clean.out("exec", "shell", "sh", "-c", "stty size < /dev/console") == f"{last} 90")


def test_detach_keys_leave_the_container_running_and_attach_comes_back(clean):
    terminal = Terminal(clean, "run", "--name", "shell", "-it", "busybox", "sh")
    terminal.expect(r"/ # ")
    terminal.type("\x10\x11")
    terminal.wait()
    assert clean.inspect("shell")["State"]["Running"]
    terminal = Terminal(clean, "attach", "shell")
    terminal.type("echo $((6*7))\n")
    terminal.expect(r"\r\n42\r\n")
    terminal.type("exit\n")
    assert terminal.wait() == 0
    assert clean.inspect("shell")["State"]["Status"] == "exited"


def test_signals_reach_the_process_through_the_client(clean):
    script = "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    environment = dict(os.environ, DOCKER_HOST=f"unix://{clean.socket}")
    process = subprocess.Popen([clean.client, "run", "--rm", "busybox", "sh", "-c", script], stdout=subprocess.PIPE,
                               text=True, env=environment)
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.stdout.read() == "caught\n"
    assert process.wait(timeout=10) == 9


def test_isolation_of_a_container(clean):
    script = ("ps | wc -l; grep CapEff /proc/self/status; grep Seccomp: /proc/self/status; "
              "echo x 2>&1 > /proc/sys/kernel/hostname; mount -t tmpfs x /tmp 2>&1")
    done = clean.docker("run", "--rm", "busybox", "sh", "-c", script, check=False)
    out = done.stdout + done.stderr
    assert "CapEff:\t00000000a80425fb" in out
    assert "Seccomp:\t2" in out
    assert "Read-only file system" in out
    assert "permission denied" in out
    assert int(out.split()[0]) <= 6
    privileged = clean.out("run", "--rm", "--privileged", "busybox", "sh", "-c",
                           "mount -t tmpfs x /tmp && echo mounted; grep Seccomp: /proc/self/status")
    assert "mounted" in privileged and "Seccomp:\t0" in privileged


def test_memory_and_pids_limits_are_applied(clean):
    done = clean.docker("run", "--name", "hog", "-m", "16m", "busybox", "sh", "-c",
                        "dd if=/dev/zero of=/dev/null bs=64M count=1", check=False)
    assert done.returncode == 137
    assert clean.inspect("hog")["State"]["OOMKilled"]
    done = clean.docker("run", "--rm", "--pids-limit", "4", "busybox", "sh", "-c",
                        "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait", check=False)
    assert "can't fork" in done.stderr


# --- life cycle ---


def test_stop_start_restart_kill_and_their_exit_statuses(clean):
    clean.docker("run", "-d", "--name", "c1", "busybox", "sleep", "100")
    assert clean.out("stop", "-t", "1", "c1") == "c1"
    assert clean.inspect("c1")["State"]["ExitCode"] == 137
    first = clean.inspect("c1")["State"]["StartedAt"]
    clean.docker("start", "c1")
    state = clean.inspect("c1")["State"]
    assert state["Running"] and state["StartedAt"] > first
    clean.docker("restart", "-t", "0", "c1")
    assert clean.inspect("c1")["State"]["Pid"] != state["Pid"]
    clean.docker("kill", "-s", "USR1", "c1")
    clean.docker("kill", "c1")
    assert clean.out("wait", "c1") == "137"
    done = clean.docker("kill", "c1", check=False)
    assert re.search(r"Cannot kill container: c1: Container [0-9a-f]{64} is not running", done.stderr)


def test_a_container_keeps_its_files_and_log_over_a_restart(clean):
    clean.docker("run", "--name", "c1", "busybox", "sh", "-c", "cat /kept 2>/dev/null; echo one > /kept")
    clean.docker("start", "-a", "c1")
    assert clean.out("logs", "c1") == "one"


def test_pause_stops_the_world_and_exec_says_so(clean):
    clean.docker("run", "-d", "--name", "c1", "busybox", "sh", "-c", "while :; do date +%N; sleep 0.05; done")
    clean.docker("pause", "c1")
    assert "(Paused)" in clean.out("ps")
    before = clean.out("logs", "c1")
    time.sleep(0.3)
    assert clean.out("logs", "c1") == before
    done = clean.docker("exec", "c1", "true", check=False)
    assert "Container c1 is paused, unpause the container before exec" in done.stderr
    clean.docker("unpause", "c1")
    wait_for("more output", lambda: clean.out("logs", "c1") != before)


def test_rm_refuses_a_running_container_without_force(clean):
    identity = clean.out("run", "-d", "--name", "c1", "busybox", "sleep", "100")
    done = clean.docker("rm", "c1", check=False)
    assert (f"You cannot remove a running container {identity}. Stop the container before attempting removal or force "
            "remove") in done.stderr
    clean.docker("rm", "-f", "c1")
    assert "No such container: c1" in clean.docker("rm", "c1", check=False).stderr


def test_names_are_unique_and_can_be_changed(clean):
    identity = clean.out("create", "--name", "c1", "busybox")
    done = clean.docker("create", "--name", "c1", "busybox", check=False)
    assert f'Conflict. The container name "/c1" is already in use by container "{identity}".' in done.stderr
    clean.docker("rename", "c1", "d1")
    clean.docker("create", "--name", "c1", "busybox")
    assert sorted(clean.out("ps", "-a", "--format", "{{.Names}}").split()) == ["c1", "d1"]
    assert clean.inspect(identity[:12])["Name"] == "/d1"


def test_ps_shows_states_and_filters(clean):
    clean.docker("run", "-d", "--name", "up", "-l", "role=a", "busybox", "sleep", "100")
    clean.docker("run", "--name", "down", "-l", "role=b", "busybox", "sh", "-c", "exit 4", check=False)
    clean.docker("create", "--name", "fresh", "busybox")
    assert clean.out("ps", "--format", "{{.Names}}") == "up"
    table = dict(line.split(" ", 1) for line in clean.out("ps", "-a", "--format", "{{.Names}} {{.Status}}").splitlines())
    assert table["up"].startswith("Up ") and table["down"].startswith("Exited (4) ") and table["fresh"] == "Created"
    names = lambda *f: clean.out("ps", "-a", "--format", "{{.Names}}", *f).split()  # noqa: E731
    assert names("-f", "status=exited") == ["down"]
    assert names("-f", "label=role=a") == ["up"]
    assert names("-f", "name=fre") == ["fresh"]
    assert names("-f", "exited=4") == ["down"]
    assert names("-n", "1") == ["fresh"]
    assert re.search(r"\(virtual \d", clean.out("ps", "-as"))


def test_wait_answers_when_the_container_ends(clean):
    clean.docker("run", "-d", "--name", "c1", "busybox", "sh", "-c", "sleep 0.3; exit 6")
    assert clean.out("wait", "c1") == "6"


def test_top_lists_the_processes(clean):
    clean.docker("run", "-d", "--name", "c1", "busybox", "sleep", "123")
    lines = clean.out("top", "c1").splitlines()
    assert lines[0].split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert lines[1].endswith("sleep 123")


def test_prune_removes_stopped_containers_only(clean):
    clean.docker("run", "-d", "--name", "up", "busybox", "sleep", "100")
    clean.docker("run", "busybox", "true")
    clean.docker("container", "prune", "-f")
    assert clean.out("ps", "-a", "--format", "{{.Names}}") == "up"


# --- logs ---


def test_logs_tail_since_timestamps_and_follow(clean):
    clean.docker("run", "-d", "--name", "c1", "busybox", "sh", "-c",
                 "for i in 1 2 3; do echo line $i; done; echo bad >&2; sleep 0.5; echo last")
    done = clean.docker("logs", "-f", "c1")
    assert (done.stdout, done.stderr) == ("line 1\nline 2\nline 3\nlast\n", "bad\n")
    assert clean.docker("logs", "--tail", "2", "c1").stdout == "last\n"
    stamped = clean.docker("logs", "-t", "c1").stdout.splitlines()[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line 1", stamped)
    last = clean.docker("logs", "-t", "c1").stdout.splitlines()[-1].split()[0]
    assert clean.docker("logs", "--since", last, "c1").stdout == "last\n"


def test_long_lines_and_missing_newlines_survive_the_log(clean):
    clean.docker("run", "--name", "c1", "busybox", "sh", "-c", "printf '%050000d' 7; printf end")
    assert clean.docker("logs", "c1").stdout == "0" * 49999 + "7end"


# --- exec ---


def test_exec_output_input_status_user_and_folder(clean):
    clean.docker("run", "-d", "--name", "c1", "-e", "OF=container", "busybox", "sleep", "100")
    done = clean.docker("exec", "c1", "sh", "-c", "echo $OF; echo err >&2; exit 9", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("container\n", "err\n", 9)
    assert clean.docker("exec", "-i", "c1", "wc", "-c", input="12345").stdout.strip() == "5"
    assert clean.out("exec", "-u", "web", "-w", "/tmp", "-e", "X=1", "c1", "sh", "-c", "id -un; pwd; echo $X").split() == [
        "web", "/tmp", "1"]
    done = clean.docker("exec", "c1", "nosuch", check=False)
    assert done.returncode == 126
    assert 'OCI runtime exec failed: exec failed: unable to start container process: exec: "nosuch": executable file ' \
        "not found in $PATH: unknown" in done.stdout
    clean.docker("exec", "-d", "c1", "sh", "-c", "echo detached > /tmp/d")
    wait_for("the detached exec", lambda: clean.docker("exec", "c1", "cat", "/tmp/d", check=False).stdout == "detached\n")


def test_exec_on_a_terminal(clean):
    clean.docker("run", "-d", "--name", "c1", "busybox", "sleep", "100")
    terminal = Terminal(clean, "exec", "-it", "c1", "sh")
    terminal.expect(r"/ # ")
    terminal.type("stty size\n")
    terminal.expect(r"30 100")
    terminal.type("exit 4\n")
    assert terminal.wait() == 4
    assert clean.inspect("c1")["State"]["Running"]


# --- network ---


def test_containers_reach_each_other_and_the_host(clean):
    clean.docker("run", "-d", "--name", "server", "web")
    address = address_of(clean, "server")
    assert address.startswith("172.17.")
    assert clean.out("run", "--rm", "busybox", "wget", "-qO-", f"http://{address}/") == "hello from the container"
    assert clean.run("curl", "-s", f"http://{address}/").stdout == "hello from the container\n"
    settings = clean.inspect("server")["NetworkSettings"]
    assert settings["Gateway"] == "172.17.0.1" and settings["IPPrefixLen"] == 16
    assert settings["MacAddress"] == "02:42:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def test_published_ports_from_loopback_own_address_and_a_container(clean):
    clean.docker("run", "-d", "--name", "server", "-p", "8080:80", "-p", "127.0.0.1:9090:80", "web")
    assert clean.out("port", "server", "80").splitlines() == ["0.0.0.0:8080", ":::8080", "127.0.0.1:9090"]
    fetch = lambda url: clean.run("curl", "-s", "-m", "5", url, check=False).stdout  # noqa: E731
    assert fetch("http://127.0.0.1:8080/") == "hello from the container\n"
    assert fetch("http://localhost:8080/") == "hello from the container\n"
    assert fetch("http://172.17.0.1:8080/") == "hello from the container\n"
    assert fetch("http://127.0.0.1:9090/") == "hello from the container\n"
    assert fetch("http://172.17.0.1:9090/") == ""
    assert clean.out("run", "--rm", "busybox", "wget", "-qO-", "http://172.17.0.1:8080/") == "hello from the container"
    hairpin = clean.out("exec", "server", "wget", "-qO-", "http://172.17.0.1:8080/")
    assert hairpin == "hello from the container"
    clean.docker("rm", "-f", "server")
    assert fetch("http://127.0.0.1:8080/") == ""
    assert "8080" not in clean.run("nft", "list", "table", "inet", "engined").stdout


def test_a_published_port_reaches_from_another_machine(clean):
    peer = clean.name + "-peer"
    subprocess.run(["ip", "netns", "add", peer], check=True)
    try:
        clean.run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
        subprocess.run(["ip", "-n", clean.name, "link", "set", "lan1", "netns", peer], check=True)
        clean.run("ip", "addr", "add", "10.77.0.1/24", "dev", "lan0")
        clean.run("ip", "link", "set", "lan0", "up")
        for words in (["addr", "add", "10.77.0.2/24", "dev", "lan1"], ["link", "set", "lan1", "up"]):
            subprocess.run(["ip", "-n", peer, *words], check=True)
        clean.docker("run", "-d", "--name", "server", "-p", "8080:80", "web")
        from_peer = ["nsenter", f"--net=/run/netns/{peer}"]
        curl = from_peer + ["curl", "-s", "-m", "5", "http://10.77.0.1:8080/"]
        assert subprocess.run(curl, capture_output=True, text=True).stdout == "hello from the container\n"
        # What is not published is not reachable, even with a route to it.
        subprocess.run(["ip", "-n", peer, "route", "add", "172.17.0.0/16", "via", "10.77.0.1"], check=True)
        direct = from_peer + ["curl", "-s", "-m", "1", f"http://{address_of(clean, 'server')}/"]
        assert subprocess.run(direct, capture_output=True, text=True).stdout == ""
        # Outwards, containers have the host's address.
        server = subprocess.Popen(from_peer + ["python3", "-m", "http.server", "8000", "--bind", "10.77.0.2"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=clean.folder)
        try:
            wait_for("the peer's server", lambda: clean.run("curl", "-s", "http://10.77.0.2:8000/", check=False).stdout)
            clean.docker("run", "--rm", "busybox", "wget", "-qO-", "http://10.77.0.2:8000/")
        finally:
            server.terminate()
        requests = [line for line in server.stderr.read().splitlines() if "GET" in line]
        assert requests and all(line.startswith("10.77.0.1 ") for line in requests)
    finally:
        subprocess.run(["ip", "netns", "del", peer], check=True)


def test_a_port_taken_twice_is_refused_with_docker_s_words(clean):
    clean.docker("run", "-d", "-p", "8080:80", "web")
    done = clean.docker("run", "-d", "--name", "second", "-p", "8080:80", "web", check=False)
    assert done.returncode == 125
    assert re.search(r"driver failed programming external connectivity on endpoint second \([0-9a-f]{64}\): Bind for "
                     r"0.0.0.0:8080 failed: port is already allocated", done.stderr)
    clean.docker("rm", "second")


def test_all_exposed_ports_are_published_on_free_ones(clean):
    clean.docker("run", "-d", "--name", "server", "-P", "web")
    where = clean.out("port", "server", "80").splitlines()[0]
    assert clean.run("curl", "-s", "http://" + where.replace("0.0.0.0", "127.0.0.1")).stdout.startswith("hello")


def test_network_modes_none_host_and_container(clean):
    assert clean.out("run", "--rm", "--net", "none", "busybox", "ls", "/sys/class/net").split() == ["lo"]
    assert "docker0" in clean.out("run", "--rm", "--net", "host", "busybox", "ls", "/sys/class/net").split()
    clean.docker("run", "-d", "--name", "server", "web")
    assert clean.out("run", "--rm", "--net", "container:server", "busybox", "wget", "-qO-", "http://127.0.0.1/") == \
        "hello from the container"
    done = clean.docker("run", "--rm", "--net", "nonet", "busybox", check=False)
    assert "network nonet not found" in done.stderr
    assert clean.out("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}").splitlines() == [
        "bridge bridge local", "host host local", "none null local"]
    assert clean.inspect("server")["Id"] in json.loads(clean.out("network", "inspect", "bridge"))[0]["Containers"]


def test_hosts_names_and_resolver_files(clean):
    out = clean.out("run", "--rm", "--hostname", "box", "--add-host", "other:10.1.2.3", "--dns", "10.9.9.9", "busybox",
                    "sh", "-c", "cat /etc/hosts /etc/hostname /etc/resolv.conf")
    assert "10.1.2.3\tother\n" in out
    assert re.search(r"172\.17\.0\.\d+\tbox\nbox\n", out)
    assert "nameserver 10.9.9.9" in out


# --- volumes ---


def test_bind_mounts_read_write_and_read_only(clean, tmp_path):
    (tmp_path / "in").write_text("from the host\n")
    assert clean.out("run", "--rm", "-v", f"{tmp_path}:/m", "busybox", "sh", "-c", "cat /m/in; echo back > /m/out") == \
        "from the host"
    assert (tmp_path / "out").read_text() == "back\n"
    done = clean.docker("run", "--rm", "-v", f"{tmp_path}:/m:ro", "busybox", "touch", "/m/x", check=False)
    assert done.returncode == 1 and "Read-only file system" in done.stderr
    done = clean.docker("run", "--rm", "--mount", f"type=bind,source={tmp_path}/none,target=/m", "busybox", check=False)
    assert f"bind source path does not exist: {tmp_path}/none" in done.stderr


def test_named_volumes_outlive_containers_and_take_what_the_image_has(clean):
    clean.docker("run", "--rm", "-v", "store:/data", "busybox", "sh", "-c", "cat /data/from-image; echo new > /data/new")
    out = clean.out("run", "--rm", "-v", "store:/elsewhere", "busybox", "sh", "-c",
                    "stat -c '%a %u' /elsewhere/from-image; cat /elsewhere/new")
    assert out.split() == ["640", "33", "new"]
    clean.docker("run", "-d", "--name", "user", "-v", "store:/x", "busybox", "sleep", "100")
    done = clean.docker("volume", "rm", "store", check=False)
    assert "remove store: volume is in use - [" in done.stderr
    clean.docker("rm", "-f", "user")
    assert "store" in clean.out("volume", "ls", "-q").split()
    clean.docker("volume", "rm", "store")
    assert "No such volume: store" in clean.docker("volume", "rm", "store", check=False).stderr


def test_anonymous_volumes_go_with_rm_and_stay_without(clean):
    clean.docker("volume", "prune", "-f")
    clean.docker("run", "--rm", "web", "cat", "/data/from-image")
    assert clean.out("volume", "ls", "-q") == ""
    clean.docker("run", "--name", "c1", "web", "true")
    assert len(clean.out("volume", "ls", "-q").split()) == 1
    clean.docker("rm", "c1")
    assert len(clean.out("volume", "ls", "-q").split()) == 1
    clean.docker("volume", "prune", "-f")


# --- restarts ---


def test_restart_policies(clean):
    clean.docker("run", "-d", "--name", "always", "--restart", "always", "busybox", "sh", "-c", "sleep 0.1; exit 1")
    wait_for("three restarts", lambda: clean.inspect("always")["RestartCount"] >= 3)
    clean.docker("stop", "-t", "0", "always")
    assert clean.inspect("always")["State"]["Status"] == "exited"
    clean.docker("run", "-d", "--name", "twice", "--restart", "on-failure:2", "busybox", "sh", "-c", "exit 1")
    wait_for("the last try", lambda: clean.inspect("twice")["State"]["Status"] == "exited")
    assert clean.inspect("twice")["RestartCount"] == 2
    clean.docker("run", "-d", "--name", "well", "--restart", "on-failure", "busybox", "true")
    wait_for("the end", lambda: clean.inspect("well")["State"]["Status"] == "exited")
    assert clean.inspect("well")["RestartCount"] == 0


def test_containers_survive_sigkill_of_the_engine(clean):
    clean.docker("run", "-d", "--name", "server", "-p", "8080:80", "web")
    clean.docker("run", "-d", "--name", "counter", "busybox", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done")
    clean.docker("run", "-d", "--name", "short", "busybox", "sh", "-c", "sleep 0.7; exit 5")
    clean.docker("run", "-d", "--name", "again", "--restart", "always", "busybox", "sh", "-c", "sleep 0.7")
    before = {name: clean.inspect(name)["State"]["Pid"] for name in ("server", "counter")}
    clean.kill()
    assert clean.run("curl", "-s", "http://127.0.0.1:8080/").stdout == "hello from the container\n"
    time.sleep(1)
    begin = time.monotonic()
    clean.start()
    assert time.monotonic() - begin < 3
    for name, pid in before.items():
        state = clean.inspect(name)["State"]
        assert state["Running"] and state["Pid"] == pid
    wait_for("the status of what ended meanwhile", lambda: clean.inspect("short")["State"]["ExitCode"] == 5)
    wait_for("the policy", lambda: clean.inspect("again")["RestartCount"] >= 1)
    assert clean.run("curl", "-s", "http://127.0.0.1:8080/").stdout == "hello from the container\n"
    numbers = [int(line) for line in clean.out("logs", "counter").split()]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 20
    assert clean.out("exec", "server", "echo", "works") == "works"
    done = clean.docker("run", "-d", "-p", "8080:80", "web", check=False)
    assert "port is already allocated" in done.stderr
    clean.docker("stop", "-t", "0", "server")
    assert clean.inspect("server")["State"]["Status"] == "exited"


def test_containers_come_back_after_all_processes_were_lost_each_with_its_own_address(clean):
    names = [f"always{i}" for i in range(4)]
    for name in names:
        clean.docker("run", "-d", "--name", name, "--restart", "always", "-P", "web")
    clean.docker("run", "-d", "--name", "once", "busybox", "sleep", "100")
    bundles = [clean.folder / "exec/bundles" / clean.inspect(name)["Id"] for name in [*names, "once"]]
    processes = [int((bundle / file).read_text()) for bundle in bundles for file in ("monitor.pid", "pid")]
    clean.kill()
    for process in processes:
        os.kill(process, 9)
    clean.start()
    for name in names:
        wait_for(name, lambda name=name: clean.inspect(name)["State"]["Running"])
    assert len({address_of(clean, name) for name in names}) == len(names)
    for name in names:
        where = clean.out("port", name, "80").splitlines()[0].replace("0.0.0.0", "127.0.0.1")
        assert clean.run("curl", "-s", f"http://{where}/").stdout == "hello from the container\n"
    state = clean.inspect("once")["State"]
    assert state["Status"] == "exited" and state["ExitCode"] in (137, 255)


def test_what_a_killed_monitor_watched_is_ended_and_told(clean):
    clean.docker("run", "-d", "--name", "c1", "busybox", "sleep", "100")
    state = clean.inspect("c1")["State"]
    monitor = int((clean.folder / "exec/bundles" / clean.inspect("c1")["Id"] / "monitor.pid").read_text())
    os.kill(monitor, 9)
    wait_for("the end", lambda: clean.inspect("c1")["State"]["Status"] == "exited")
    assert clean.inspect("c1")["State"]["ExitCode"] == 137
    # Gone, or a zombie that this machine's first process has not reaped.
    status = pathlib.Path(f"/proc/{state['Pid']}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()
    clean.docker("start", "c1")


def test_nothing_is_left_of_removed_containers(clean):
    for _ in range(3):
        clean.docker("run", "--rm", "-p", "8080:80", "-v", "/anonymous", "busybox", "true")
    clean.docker("run", "-d", "--name", "c1", "busybox", "sleep", "100")
    clean.docker("rm", "-f", "c1")
    wait_for("the end of the mounts", lambda: clean.mounts() == [])
    for folder in ("data/containers", "data/overlay", "exec/bundles", "exec/crun", "exec/netns", "exec/exits"):
        wait_for(f"the end of what is in {folder}", lambda folder=folder: os.listdir(clean.folder / folder) == [])
    wait_for("the end of the veth pairs", lambda: "veth" not in clean.run("ip", "link").stdout)


def test_many_at_once(clean):
    results = []

    def one(i):
        results.append(clean.out("run", "--rm", "busybox", "echo", str(i)))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, results)) == list(range(16))


# --- the API's words ---


def test_events_tell_the_life_of_a_container(clean):
    since = str(time.time())
    clean.docker("run", "--name", "c1", "busybox", "true")
    clean.docker("rm", "c1")
    lines = clean.out("events", "--since", since, "--until", str(time.time()), "--filter", "type=container", "--format",
                      "{{.Action}}").splitlines()
    assert lines == ["create", "attach", "start", "die", "destroy"]


def test_errors_have_docker_s_status_and_text(clean):
    clean.docker("run", "-d", "--name", "up", "busybox", "sleep", "100")
    cases = [
        ("GET", "/v1.41/containers/none/json", None, 404, "No such container: none"),
        ("POST", "/v1.41/containers/none/start", None, 404, "No such container: none"),
        ("POST", "/v1.41/containers/create", {"Image": "none:1"}, 404, "No such image: none:1"),
        ("POST", "/v1.41/containers/create?name=a%20b", {"Image": "busybox"}, 400,
         "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
        ("POST", "/v1.41/containers/up/start", None, 304, None),
        ("POST", "/v1.41/containers/up/kill?signal=FOO", None, 400, "Invalid signal: FOO"),
        ("POST", "/v1.41/containers/up/rename?name=", None, 400, "Neither old nor new names may be empty"),
        ("POST", "/v1.41/containers/up/exec", {}, 400, "No exec command specified"),
        ("POST", "/v1.41/exec/none/start", {}, 404, "No such exec instance: none"),
        ("GET", "/v1.41/containers/up/logs", None, 400, "Bad parameters: you must choose at least one stream"),
        ("DELETE", "/v1.41/networks/bridge", None, 403, "bridge is a pre-defined network and cannot be removed"),
        ("GET", "/v1.41/networks/none0", None, 404, "network none0 not found"),
        ("DELETE", "/v1.41/volumes/none", None, 404, "get none: no such volume"),
        ("GET", "/v1.41/nothing", None, 404, "page not found"),
        ("GET", "/v1.99/version", None, 400,
         "client version 1.99 is too new. Maximum supported API version is 1.41"),
    ]
    for method, target, body, status, message in cases:
        got = clean.api(method, target, body)
        assert got == (status, message and {"message": message}), target


def test_swarm_requests_without_an_agent_say_so_and_info_is_inactive(clean):
    assert clean.out("info", "--format", "{{.Swarm.LocalNodeState}}") == "inactive"
    status, body = clean.api("GET", "/v1.41/nodes")
    assert status == 503 and body["message"].startswith("This node is not a swarm manager.")
