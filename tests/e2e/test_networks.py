"""Networks of containers with the stock docker client against engined on this host."""
import json
import re
import subprocess

import pytest
from engine_host import ROOT, wait_for

TOOL = ROOT / "tests/e2e/dns_tool.py"
PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def world(engine):
    """A name server of the world, which the engine's resolv.conf names."""
    server = engine.popen(PYTHON, TOOL, "serve", "127.0.0.53", stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "ready\n"
    resolver = engine.folder / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.53\nsearch lab.test\n")
    engine.run("mount", "--bind", resolver, "/etc/resolv.conf")
    yield engine
    engine.run("umount", "/etc/resolv.conf")
    server.kill()
    server.wait()


@pytest.fixture
def nets(clean):
    """Leaves no network behind."""
    yield clean
    clean.remove_all()
    clean.docker("network", "prune", "-f")


def run(engine, name, *arguments, image="busybox", command=("sleep", "1000")):
    return engine.out("run", "-d", "--name", name, *arguments, image, *command)


def settings(engine, name, network):
    return engine.inspect(name)["NetworkSettings"]["Networks"][network]


def inside(engine, name, *command, check=True):
    """A program of this host in the container's network namespace."""
    key = engine.inspect(name)["NetworkSettings"]["SandboxKey"]
    return engine.run("nsenter", f"--net={key}", *command, check=check)


def ask(engine, name, host, kind="A", *how):
    return json.loads(inside(engine, name, PYTHON, TOOL, "ask", host, kind, *how).stdout)


def reaches(engine, name, url):
    return inside(engine, name, "curl", "-s", "-g", "-m", "3", url, check=False).returncode == 0


def fetch(engine, url):
    return engine.run("curl", "-s", "-g", "-m", "5", "--retry", "5", "--retry-connrefused", url, check=False).stdout


def error_of(engine, *arguments):
    done = engine.docker(*arguments, check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr.strip().removeprefix("docker: ").removeprefix("Error response from daemon: ")


# --- create, inspect, list, remove ---


def test_create_inspect_and_remove(nets):
    identity = nets.out("network", "create", "--label", "k=v", "-o", "com.docker.network.driver.mtu=1400", "one")
    shown = json.loads(nets.out("network", "inspect", "one"))[0]
    shown.pop("Created")
    subnet = shown["IPAM"]["Config"][0]["Subnet"]
    assert re.fullmatch(r"172\.\d+\.0\.0/16", subnet)
    assert shown == {
        "Name": "one", "Id": identity, "Scope": "local", "Driver": "bridge", "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": {},
                 "Config": [{"Subnet": subnet, "Gateway": subnet.replace(".0/16", ".1")}]},
        "Internal": False, "Attachable": False, "Ingress": False, "ConfigFrom": {"Network": ""}, "ConfigOnly": False,
        "Containers": {}, "Options": {"com.docker.network.driver.mtu": "1400"}, "Labels": {"k": "v"}}
    assert nets.out("network", "ls", "--filter", "label=k=v", "--format", "{{.Name}} {{.Driver}}") == "one bridge"
    assert nets.out("network", "ls", "--filter", "type=builtin", "--format", "{{.Name}}").split() == [
        "bridge", "host", "none"]
    assert nets.out("network", "rm", identity[:8]) == identity[:8]
    assert "br-" + identity[:12] not in nets.run("ip", "link").stdout
    assert error_of(nets, "network", "rm", "one") == "Error: No such network: one"


def test_subnet_range_gateway_and_auxiliary_addresses(nets):
    nets.docker("network", "create", "--subnet", "10.9.0.0/24", "--ip-range", "10.9.0.128/25", "--gateway", "10.9.0.5",
                "--aux-address", "router=10.9.0.128", "-o", "com.docker.network.bridge.name=brtest", "full")
    run(nets, "aa", "--network", "full")
    run(nets, "bb", "--network", "full", "--ip", "10.9.0.7", "--mac-address", "02:42:0a:09:00:99")
    assert settings(nets, "aa", "full")["IPAddress"] == "10.9.0.129"
    b = settings(nets, "bb", "full")
    assert (b["IPAddress"], b["Gateway"], b["MacAddress"], b["IPPrefixLen"]) == (
        "10.9.0.7", "10.9.0.5", "02:42:0a:09:00:99", 24)
    assert "10.9.0.5/24" in nets.run("ip", "address", "show", "brtest").stdout
    assert nets.out("exec", "bb", "ip", "route").startswith("default via 10.9.0.5 dev eth0 ")
    assert "ether 02:42:0a:09:00:99" in nets.out("exec", "bb", "ip", "link", "show", "eth0")


CREATE_ERRORS = [
    (["bridge"], "operation is not permitted on predefined bridge network"),
    (["-d", "host", "x"], 'only one instance of "host" network is allowed'),
    (["-d", "null", "x"], 'only one instance of "null" network is allowed'),
    (["-d", "nosuch", "x"], 'plugin "nosuch" not found'),
    (["--subnet", "10.9.0.0/24", "--subnet", "10.10.0.0/24", "x"], "bridge driver doesn't support multiple subnets"),
    (["--subnet", "bad", "x"], "Invalid subnet bad : invalid CIDR address: bad"),
    (["--subnet", "172.17.9.0/24", "x"], "Pool overlaps with other one on this address space"),
    (["--ipv6", "x"], "could not find an available, non-overlapping IPv6 address pool among the defaults to assign to "
                      "the network"),
    (["-o", "com.docker.network.bridge.enable_icc=maybe", "x"],
     "failed to parse com.docker.network.bridge.enable_icc value: maybe "
     '(strconv.ParseBool: parsing "maybe": invalid syntax)'),
    (["--scope", "swarm", "x"], "cannot create a swarm scoped network when swarm is not active"),
]


@pytest.mark.parametrize("arguments, text", CREATE_ERRORS)
def test_create_refuses(nets, arguments, text):
    assert error_of(nets, "network", "create", *arguments) == text
    assert nets.out("network", "ls", "-q", "--filter", "type=custom") == ""


def test_names_are_taken_once_and_networks_in_use_stay(nets):
    identity = nets.out("network", "create", "one")
    assert error_of(nets, "network", "create", "one") == "network with name one already exists"
    run(nets, "aa", "--network", "one")
    assert error_of(nets, "network", "rm", "one") == (
        f"error while removing network: network one id {identity} has active endpoints")
    assert error_of(nets, "network", "rm", "bridge") == "bridge is a pre-defined network and cannot be removed"
    assert nets.out("network", "prune", "-f") == ""
    nets.docker("rm", "-f", "aa")
    assert nets.out("network", "prune", "-f").split() == ["Deleted", "Networks:", "one"]


# --- names ---


def test_names_aliases_short_ids_and_reverse(nets, world):
    nets.docker("network", "create", "one")
    web = run(nets, "web", "--network", "one", "--network-alias", "site", "--network-alias", "shared")
    run(nets, "two", "--network", "one", "--network-alias", "shared")
    first = settings(nets, "web", "one")["IPAddress"]
    second = settings(nets, "two", "one")["IPAddress"]
    for name in ("web", "WEB", "site", web[:12], "web.one", "site.one"):
        assert ask(nets, "two", name)["answers"] == [first], name
        assert ask(nets, "two", name, "A", "tcp")["answers"] == [first], name
    assert ask(nets, "two", "shared")["answers"] == sorted([first, second])
    assert ask(nets, "two", "web", "AAAA") == {"code": 0, "answers": [], "truncated": False}
    assert ask(nets, "two", "web", "MX") == {"code": 0, "answers": [], "truncated": False}
    reverse = ".".join(reversed(first.split("."))) + ".in-addr.arpa"
    assert ask(nets, "two", reverse, "PTR")["answers"] == ["web.one"]
    assert nets.out("exec", "two", "cat", "/etc/resolv.conf").splitlines() == [
        "search lab.test", "nameserver 127.0.0.11", "options ndots:0"]
    assert first in nets.out("exec", "two", "nslookup", "web.one")
    nets.docker("rename", "web", "web2")
    assert ask(nets, "two", "web2")["answers"] == [first]
    assert ask(nets, "two", "web")["code"] == 3
    nets.docker("rm", "-f", "web2")
    assert ask(nets, "two", "site")["code"] == 3
    assert ask(nets, "two", "shared")["answers"] == [second]


def test_other_names_are_asked_of_the_hosts_servers(nets, world):
    nets.docker("network", "create", "one")
    nets.docker("network", "create", "--internal", "closed")
    run(nets, "aa", "--network", "one")
    run(nets, "bb", "--network", "closed")
    assert ask(nets, "aa", "world.test") == {"code": 0, "answers": ["198.51.100.1"], "truncated": False}
    assert ask(nets, "aa", "nosuch.test")["code"] == 3
    assert ask(nets, "aa", "world.test", "AAAA") == {"code": 0, "answers": [], "truncated": False}
    big = ask(nets, "aa", "big.test")
    assert (big["truncated"], big["answers"]) == (True, [])
    assert len(ask(nets, "aa", "big.test", "A", "tcp")["answers"]) == 60
    # What an internal network keeps in, its name server keeps too.
    assert ask(nets, "bb", "world.test")["code"] == 2
    assert ask(nets, "bb", "aa")["code"] == 2
    assert ask(nets, "bb", "bb")["answers"] == [settings(nets, "bb", "closed")["IPAddress"]]


def test_links_are_names_of_one_container_alone(nets, world):
    nets.docker("network", "create", "one")
    run(nets, "storage", "--network", "one")
    run(nets, "aa", "--network", "one", "--link", "storage:db")
    run(nets, "bb", "--network", "one")
    address = settings(nets, "storage", "one")["IPAddress"]
    assert ask(nets, "aa", "db")["answers"] == [address]
    assert ask(nets, "bb", "db")["code"] == 3
    run(nets, "old")
    run(nets, "linked", "--link", "old:db")
    line = f"{nets.inspect('old')['NetworkSettings']['IPAddress']}\tdb "
    assert line in nets.out("exec", "linked", "cat", "/etc/hosts")
    assert "could not get container for nosuch: No such container: nosuch" in error_of(
        nets, "run", "--link", "nosuch:x", "busybox")


def test_hostile_packets_do_no_harm(nets, world):
    nets.docker("network", "create", "one")
    run(nets, "aa", "--network", "one")
    program = """
import os, random, socket
random.seed(1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for size in [0, 1, 11, 12, 13, 511, 4096, 9000] * 20:
    s.sendto(bytes(random.randrange(256) for _ in range(size)), ("127.0.0.11", 53))
for i in range(40):
    t = socket.create_connection(("127.0.0.11", 53)); t.sendall(os.urandom(i)); t.close()
"""
    inside(nets, "aa", PYTHON, "-c", program)
    wait_for("an answer", lambda: ask(nets, "aa", "aa")["answers"])


# --- several networks ---


def test_connect_and_disconnect_a_running_container(nets, world):
    nets.docker("network", "create", "one")
    nets.docker("network", "create", "--subnet", "10.9.0.0/24", "aaa")
    run(nets, "web", "-p", "18080:80", image="web", command=())
    assert nets.out("exec", "web", "ip", "route").startswith("default via 172.17.0.1 dev eth0")
    nets.docker("network", "connect", "--ip", "10.9.0.200", "--alias", "site", "aaa", "web")
    attached = settings(nets, "web", "aaa")
    assert attached["IPAddress"] == "10.9.0.200"
    assert attached["Aliases"] == [nets.inspect("web")["Id"][:12], "site"]
    # The way out is through the first network by name, and published ports go with it.
    assert nets.out("exec", "web", "ip", "route").startswith("default via 10.9.0.1 dev eth1")
    assert fetch(nets, "http://127.0.0.1:18080/") == "hello from the container\n"
    assert "10.9.0.200\t" in nets.out("exec", "web", "cat", "/etc/hosts")
    assert ask(nets, "web", "site")["answers"] == ["10.9.0.200"]
    assert "nameserver 127.0.0.11" in nets.out("exec", "web", "cat", "/etc/resolv.conf")
    assert error_of(nets, "network", "connect", "aaa", "web") == "endpoint with name web already exists in network aaa"
    assert error_of(nets, "network", "disconnect", "one", "web") == (
        f"container {nets.inspect('web')['Id']} is not connected to network one")
    nets.docker("network", "disconnect", "aaa", "web")
    assert "10.9.0.200" not in nets.out("exec", "web", "cat", "/etc/hosts")
    assert nets.out("exec", "web", "ip", "route").startswith("default via 172.17.0.1 dev eth0")
    assert fetch(nets, "http://127.0.0.1:18080/") == "hello from the container\n"
    nets.docker("network", "connect", "one", "web")
    nets.docker("restart", "-t", "0", "web")
    assert set(nets.inspect("web")["NetworkSettings"]["Networks"]) == {"bridge", "one"}


CONNECT_ERRORS = [
    (["--ip", "10.1.1.1", "one"],
     "user specified IP address is supported only when connecting to networks with user configured subnets"),
    (["host"], "container cannot be disconnected from host network or connected to host network"),
    (["none"], "container cannot be connected to multiple networks with one of the networks in private (none) mode"),
    (["nosuch"], "network nosuch not found"),
    (["--alias", "x", "bridge"], "network-scoped alias is supported only for containers in user defined networks"),
]


def test_connect_refuses(nets):
    nets.docker("network", "create", "one")
    nets.docker("network", "create", "two")
    run(nets, "aa", "--network", "two")
    for arguments, text in CONNECT_ERRORS:
        assert error_of(nets, "network", "connect", *arguments, "aa") == text
    run(nets, "bb", "--network", "container:aa")
    assert error_of(nets, "network", "connect", "one", "bb") == (
        "container sharing network namespace with another container or host cannot be connected to any other network")
    assert nets.out("exec", "bb", "hostname") == nets.out("exec", "aa", "hostname")
    assert "conflicting options: port publishing and the container type network mode." in error_of(
        nets, "run", "--network", "container:aa", "-p", "80:80", "busybox")
    assert "network nosuch not found." in error_of(nets, "run", "--network", "nosuch", "busybox")
    nets.docker("network", "create", "--subnet", "10.9.0.0/24", "three")
    run(nets, "cc", "--network", "three", "--ip", "10.9.0.9")
    assert "Address already in use." in error_of(nets, "run", "--network", "three", "--ip", "10.9.0.9", "busybox")
    assert "Invalid address 10.10.0.9: It does not belong to any of this network's subnets." in error_of(
        nets, "run", "--network", "three", "--ip", "10.10.0.9", "busybox")


# --- who reaches whom ---


def test_bridges_are_isolated_and_internal_networks_closed(nets):
    for name in ("one", "two"):
        nets.docker("network", "create", name)
    nets.docker("network", "create", "--internal", "closed")
    run(nets, "web", "--network", "one", image="web", command=())
    run(nets, "same", "--network", "one")
    run(nets, "other", "--network", "two")
    run(nets, "default")
    url = f"http://{settings(nets, 'web', 'one')['IPAddress']}/"
    wait_for("an answer", lambda: reaches(nets, "same", url))
    assert not reaches(nets, "other", url)
    assert not reaches(nets, "default", url)
    assert fetch(nets, url) == "hello from the container\n"
    assert nets.out("exec", "same", "wget", "-q", "-O", "-", "http://web/") == "hello from the container"
    run(nets, "in", "--network", "closed")
    assert nets.out("exec", "in", "ip", "route").count("default") == 0
    assert settings(nets, "in", "closed")["Gateway"] == ""
    nets.docker("network", "connect", "one", "other")
    wait_for("an answer", lambda: reaches(nets, "other", url))


def test_containers_that_may_not_reach_each_other(nets):
    nets.docker("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "apart")
    run(nets, "web", "--network", "apart", image="web", command=())
    run(nets, "aa", "--network", "apart")
    assert not reaches(nets, "aa", f"http://{settings(nets, 'web', 'apart')['IPAddress']}/")
    assert fetch(nets, f"http://{settings(nets, 'web', 'apart')['IPAddress']}/") == "hello from the container\n"


def test_the_hosts_loopback_is_closed_to_containers(nets):
    listener = nets.popen(PYTHON, "-c", "import socket; s = socket.create_server(('127.0.0.1', 4567)); "
                          "print('ready', flush=True); s.accept()", stdout=subprocess.PIPE, text=True)
    try:
        assert listener.stdout.readline() == "ready\n"
        run(nets, "aa", "--cap-add", "NET_ADMIN")
        gateway = settings(nets, "aa", "bridge")["Gateway"]
        inside(nets, "aa", "sysctl", "-qw", "net.ipv4.conf.eth0.route_localnet=1", "net.ipv4.conf.all.route_localnet=1")
        inside(nets, "aa", "ip", "route", "add", "127.0.0.1/32", "via", gateway, "dev", "eth0", "table", "99")
        inside(nets, "aa", "ip", "rule", "add", "to", "127.0.0.1", "lookup", "99", "pref", "0")
        inside(nets, "aa", "ip", "rule", "del", "pref", "0", "lookup", "local", check=False)
        done = inside(nets, "aa", PYTHON, "-c", "import socket; socket.create_connection(('127.0.0.1', 4567), 2)",
                      check=False)
        assert done.returncode != 0
    finally:
        listener.kill()
        listener.wait()


# --- published ports ---


def test_published_ports_in_all_forms(nets):
    run(nets, "web", "-p", "18080:80", "-p", "80", "-p", "127.0.0.1:18081:80", "-p", "19000-19002:9000-9002",
        "-p", "18082:53/udp", image="web", command=())
    ports = nets.inspect("web")["NetworkSettings"]["Ports"]
    assert ports["80/tcp"][:2] == [{"HostIp": "0.0.0.0", "HostPort": "18080"}, {"HostIp": "::", "HostPort": "18080"}]
    assert ports["9001/tcp"] == [{"HostIp": "0.0.0.0", "HostPort": "19001"}, {"HostIp": "::", "HostPort": "19001"}]
    assert ports["53/udp"][0] == {"HostIp": "0.0.0.0", "HostPort": "18082"}
    assert {"HostIp": "127.0.0.1", "HostPort": "18081"} in ports["80/tcp"]
    dynamic = next(p["HostPort"] for p in ports["80/tcp"] if p["HostPort"] not in ("18080", "18081"))
    gateway = nets.inspect("web")["NetworkSettings"]["Gateway"]
    for place in ("127.0.0.1:18080", "127.0.0.1:18081", f"127.0.0.1:{dynamic}", f"{gateway}:18080"):
        assert fetch(nets, f"http://{place}/") == "hello from the container\n", place
    assert nets.run("curl", "-s", "-m", "5", f"http://{gateway}:18081/", check=False).returncode != 0
    assert "127.0.0.1:18081->80/tcp" in nets.out("ps", "--format", "{{.Ports}}")
    nets.docker("network", "create", "other")
    run(nets, "aa", "--network", "other")
    wait_for("an answer", lambda: reaches(nets, "aa", f"http://{gateway}:18080/"))
    wait_for("an answer", lambda: reaches(nets, "web", f"http://{gateway}:18080/"))


def test_udp_is_published(nets):
    run(nets, "echo", "-p", "18083:7/udp")
    serve = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 7)); print("ready", flush=True)
while True: data, asker = s.recvfrom(100); s.sendto(data + asker[0].encode(), asker)
"""
    program = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
s.sendto(b"ping ", (sys.argv[1], 18083)); print(s.recv(100).decode())
"""
    shown = nets.inspect("echo")["NetworkSettings"]
    server = nets.popen("nsenter", f"--net={shown['SandboxKey']}", PYTHON, "-c", serve, stdout=subprocess.PIPE,
                        text=True)
    try:
        assert server.stdout.readline() == "ready\n"
        for address in ("127.0.0.1", shown["Gateway"]):
            assert nets.run(PYTHON, "-c", program, address).stdout == f"ping {shown['Gateway']}\n"
    finally:
        server.kill()
        server.wait()


def test_ports_that_are_taken(nets):
    run(nets, "one", "-p", "18084:80")
    text = error_of(nets, "run", "-d", "--name", "two", "-p", "18084:80", "busybox", "true")
    assert re.match(r"driver failed programming external connectivity on endpoint two \([0-9a-f]{64}\): "
                    r"Bind for 0.0.0.0:18084 failed: port is already allocated\.", text), text
    listener = nets.popen(PYTHON, "-c", "import socket; s = socket.create_server(('', 18085)); print('ready', flush=True)"
                          "; s.accept()", stdout=subprocess.PIPE, text=True)
    try:
        listener.stdout.readline()
        assert "Error starting userland proxy: listen tcp4 0.0.0.0:18085: bind: address already in use." in error_of(
            nets, "run", "-p", "18085:80", "busybox", "true")
    finally:
        listener.kill()
        listener.wait()
    assert "Error starting userland proxy: protocol not supported." in error_of(
        nets, "run", "-p", "18086:80/sctp", "busybox", "true")


# --- IPv6 ---


def test_ipv6_reaches_containers_that_have_none_through_a_relay(nets):
    run(nets, "web", "-p", "18090:80", image="web", command=())
    assert fetch(nets, "http://[::1]:18090/") == "hello from the container\n"
    nets.kill()
    nets.start()
    assert fetch(nets, "http://[::1]:18090/") == "hello from the container\n"
    assert "port is already allocated." in error_of(nets, "run", "--rm", "-p", "[::1]:18090:80", "busybox", "true")
    nets.docker("rm", "-f", "web")
    assert nets.run("curl", "-s", "-g", "http://[::1]:18090/", check=False).returncode == 7


def test_udp_over_ipv6_is_relayed(nets):
    run(nets, "echo", "-p", "18091:7/udp")
    serve = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 7)); print("ready", flush=True)
while True: data, asker = s.recvfrom(100); s.sendto(data, asker)
"""
    program = """
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.settimeout(5)
for text in (b"one", b"two"): s.sendto(text, ("::1", 18091)); print(s.recv(100).decode())
"""
    key = nets.inspect("echo")["NetworkSettings"]["SandboxKey"]
    server = nets.popen("nsenter", f"--net={key}", PYTHON, "-c", serve, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "ready\n"
        assert nets.run(PYTHON, "-c", program).stdout == "one\ntwo\n"
    finally:
        server.kill()
        server.wait()


def test_ipv6(nets, world):
    nets.docker("network", "create", "--ipv6", "--subnet", "fd00:9::/64", "--subnet", "10.9.0.0/24", "six")
    run(nets, "web", "--network", "six", "--ip6", "fd00:9::80", "-p", "18087:80", image="web", command=())
    run(nets, "aa", "--network", "six")
    shown = settings(nets, "web", "six")
    assert (shown["GlobalIPv6Address"], shown["GlobalIPv6PrefixLen"], shown["IPv6Gateway"]) == (
        "fd00:9::80", 64, "fd00:9::1")
    assert settings(nets, "aa", "six")["GlobalIPv6Address"] == "fd00:9::2"
    assert ask(nets, "aa", "web", "AAAA")["answers"] == ["fd00:9::80"]
    wait_for("an answer", lambda: reaches(nets, "aa", "http://[fd00:9::80]/"))
    assert fetch(nets, "http://[fd00:9::80]/") == "hello from the container\n"
    for place in ("[fd00:9::1]", "[::1]", "127.0.0.1"):
        assert fetch(nets, f"http://{place}:18087/") == "hello from the container\n", place
    run(nets, "four")
    assert "inet6" not in nets.out("exec", "four", "ip", "address", "show", "eth0")


# --- the Python SDK ---


def test_the_sdk_makes_networks_and_connects(nets):
    docker = pytest.importorskip("docker")
    client = docker.DockerClient(base_url=f"unix://{nets.socket}")
    try:
        pool = docker.types.IPAMPool(subnet="10.9.0.0/24", gateway="10.9.0.254")
        network = client.networks.create("sdk", ipam=docker.types.IPAMConfig(pool_configs=[pool]), labels={"a": "b"},
                                         check_duplicate=True)
        run(nets, "aa")
        network.connect("aa", aliases=["alias"], ipv4_address="10.9.0.7")
        network.reload()
        assert [container.name for container in network.containers] == ["aa"]
        assert network.attrs["Containers"][nets.inspect("aa")["Id"]]["IPv4Address"] == "10.9.0.7/24"
        assert [found.name for found in client.networks.list(filters={"label": "a=b"})] == ["sdk"]
        with pytest.raises(docker.errors.APIError) as refused:
            client.networks.create("sdk", check_duplicate=True)
        assert refused.value.status_code == 409
        with pytest.raises(docker.errors.APIError) as refused:
            network.remove()
        assert refused.value.status_code == 403
        network.disconnect("aa")
        network.remove()
        with pytest.raises(docker.errors.NotFound):
            client.networks.get("sdk")
    finally:
        client.close()


# --- kill -9 ---


def test_everything_survives_a_kill_of_the_engine(nets, world):
    nets.docker("network", "create", "--subnet", "10.9.0.0/24", "one")
    nets.docker("network", "create", "two")
    run(nets, "web", "--network", "one", "-p", "18088:80", "--network-alias", "site", image="web", command=())
    run(nets, "aa", "--network", "one")
    nets.docker("network", "connect", "two", "aa")
    before = nets.inspect("aa")["NetworkSettings"]
    networks = nets.out("network", "ls")
    nets.kill()
    assert fetch(nets, "http://127.0.0.1:18088/") == "hello from the container\n"
    # A question that comes meanwhile is answered when the engine is back.
    key = before["SandboxKey"]
    late = nets.popen("nsenter", f"--net={key}", PYTHON, TOOL, "ask", "site", "A", stdout=subprocess.PIPE, text=True)
    wait_for("the question", lambda: " 127.0.0.11" in nets.run(
        "nsenter", f"--net={key}", "ss", "-unp", check=False).stdout)
    nets.start()
    assert json.loads(late.communicate(timeout=15)[0])["answers"] == [settings(nets, "web", "one")["IPAddress"]]
    assert nets.inspect("aa")["NetworkSettings"] == before
    assert nets.out("network", "ls") == networks
    assert ask(nets, "aa", "web")["answers"] == [settings(nets, "web", "one")["IPAddress"]]
    assert fetch(nets, "http://127.0.0.1:18088/") == "hello from the container\n"
    assert run(nets, "bb", "--network", "one") and settings(nets, "bb", "one")["IPAddress"] == "10.9.0.4"
    # The monitor holds the name server's sockets; the container's own processes do not.
    assert "socket:" not in nets.out("exec", "aa", "ls", "-l", "/proc/1/fd")


def test_nothing_is_left_of_what_was_removed(nets):
    before = nets.run("ip", "-o", "link").stdout.count("\n")
    rules = nets.run("nft", "list", "ruleset").stdout
    nets.docker("network", "create", "one")
    run(nets, "aa", "--network", "one", "-p", "18089:80")
    nets.docker("rm", "-f", "aa")
    nets.docker("network", "rm", "one")
    wait_for("the interfaces", lambda: nets.run("ip", "-o", "link").stdout.count("\n") == before)
    assert nets.run("nft", "list", "ruleset").stdout == rules
    assert list((nets.folder / "exec" / "netns").iterdir()) == []
