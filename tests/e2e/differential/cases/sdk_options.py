"""The Python SDK: the options of its calls, and what is refused."""
import docker
from case import case
from cases.sdk import SLEEP, dockerfile, made, rest_of
from docker.types import LogConfig, Mount


@case
def container_lists(on):
    client = on.client().api
    names = [client.create_container("busybox", "true", name=name, labels={"team": team})["Id"]
             for name, team in (("one", "a"), ("two", "b"), ("three", "b"))]
    client.start("one")
    client.wait("one")
    for options in ({"all": True}, {"all": True, "limit": 1}, {"all": True, "since": names[0]},
                    {"all": True, "before": names[2]}, {"filters": {"label": "team=b"}, "all": True},
                    {"filters": {"exited": 0}}, {"filters": {"name": "t"}, "all": True}, {"quiet": True, "all": True},
                    {"latest": True}, {"size": True}, {"trunc": True, "all": True}):
        on.sdk(f"{options}", lambda: [one.get("Names") for one in client.containers(**options)])


@case
def attach_streams(on):
    client = on.client().api
    container = client.create_container("busybox", "sh -c 'echo one; sleep 0.3; echo two >&2'")
    stream = client.attach(container, stream=True)
    client.start(container)
    on.record("stream", [part.decode() for part in stream])
    on.sdk("missing", lambda: client.attach("nosuch"))


@case
def sockets_of_a_terminal(on):
    client = on.client().api
    container = client.create_container("busybox", "cat", stdin_open=True, tty=True, detach=False)
    sock = client.attach_socket(container, params={"stdin": 1, "stdout": 1, "stream": 1})
    client.start(container)
    sock._sock.sendall(b"typed\n")
    on.until("echo", lambda: b"typed" in sock._sock.recv(64))
    sock._sock.sendall(b"\x10\x11")
    on.record("detached", rest_of(sock))
    on.until_state(container["Id"], "running")
    sock = client.attach_socket(container, params={"stdin": 1, "stdout": 1, "stream": 1, "detachKeys": "ctrl-x"})
    sock._sock.sendall(b"\x18")
    on.record("detached by another key", rest_of(sock))


@case
def refused_configurations(on):
    client = on.client().api
    for number, host in enumerate((
            {"log_config": LogConfig(type="asdf-nope", config={})}, {"network_mode": "container:nosuch"},
            {"pid_mode": "container:nosuch"}, {"binds": ["/tmp:relative"]}, {"binds": ["/tmp:/x:zz"]},
            {"port_bindings": {"1": ("bad", 1)}}, {"devices": ["/dev/nosuch:/dev/x:rwm"]},
            {"volumes_from": ["nosuch:ro"]}, {"ipc_mode": "container:nosuch"},
            {"security_opt": ["nosuch=1"]}, {"links": {"nosuch": "x"}}, {"extra_hosts": {"a": "bad"}},
            {"isolation": "hyperv"}, {"runtime": "nosuch"}, {"dns": ["bad"]}, {"restart_policy": {"Name": "bad"}},
            {"mem_limit": "1m"}, {"mem_swappiness": 101},
            {"mounts": [Mount(type="bind", source="/nosuch", target="/x")]},
            {"mounts": [Mount(type="tmpfs", source="x", target="/x")]},
            {"mounts": [Mount(type="volume", source="v", target="/")]},
            {"volume_driver": "nosuch", "binds": ["named:/x"]}, {"tmpfs": {"relative": ""}})):
        def run(host=host, number=number):
            container = client.create_container("busybox", "true", name=f"c{number}",
                                                host_config=client.create_host_config(**host))
            client.start(container)

        on.sdk(f"{host}", run)


@case
def bind_modes(on):
    client = on.client().api
    on.files({"shared/f": "content\n"})
    folder = str(on.folder / "shared")
    for mode in ("rw", "ro"):
        container = client.create_container(
            "busybox", ["sh", "-c", "cat /mnt/f; touch /mnt/new && echo written"], volumes=["/mnt"],
            host_config=client.create_host_config(binds={folder: {"bind": "/mnt", "mode": mode}}))
        client.start(container)
        client.wait(container)
        on.sdk(mode, lambda: client.logs(container))
        on.sdk("mounts", lambda: client.inspect_container(container)["Mounts"])


@case
def volume_mounts_with_drivers(on):
    client = on.client().api
    mount = Mount(type="volume", source="vol", target="/mnt", labels={"com.example": "x"}, no_copy=True,
                  driver_config=docker.types.DriverConfig(name="local"), read_only=True)
    container = client.create_container("busybox", "ls /mnt", host_config=client.create_host_config(mounts=[mount]))
    client.start(container)
    on.sdk("wait", lambda: client.wait(container))
    on.sdk("mounts", lambda: client.inspect_container(container)["Mounts"])
    on.sdk("volume", lambda: client.inspect_volume("vol"))


@case
def published_ports(on):
    client = on.client().api
    bindings = {"1111": ("127.0.0.1", "4567"), "2222": ("127.0.0.1", "4568"), "3333/udp": ("127.0.0.1", "4569")}
    container = client.create_container(
        "busybox", SLEEP, ports=[1111, 2222, (3333, "udp")],
        host_config=client.create_host_config(port_bindings=bindings, network_mode="bridge"))
    client.start(container)
    for port in ("1111", "2222/tcp", "3333/udp", "9"):
        on.sdk(port, lambda: client.port(container, port))


@case
def names_given_and_taken(on):
    client = on.client().api
    on.sdk("bad", lambda: client.create_container("busybox", name="-bad"))
    on.sdk("empty command", lambda: client.create_container("busybox", "", name="c1"))
    on.sdk("taken", lambda: client.create_container("busybox", name="c1"))
    on.sdk("by a start of the id", lambda: client.inspect_container(client.inspect_container("c1")["Id"][:4])["Name"])
    on.sdk("rename to taken", lambda: [client.create_container("busybox", name="c2"), client.rename("c2", "c1")])


@case(differs={r"Step": "a step's line comes in one piece"})
def odd_builds(on):
    low = on.client().api

    def built(*lines, **options):
        return list(low.build(fileobj=dockerfile(*lines), decode=True, **options))

    on.sdk("platform of another kind", lambda: built("FROM busybox", platform="linux/arm64"))
    on.sdk("blank", lambda: built("   ", " "))
    on.sdk("target", lambda: [built("FROM busybox AS first", "RUN mkdir -p /tmp/test", "FROM scratch AS second",
                                    target="first", tag="t"), low.inspect_image("t")["RootFS"]["Type"]])
    on.sdk("no target", lambda: built("FROM scratch AS first", target="nosuch"))
    on.sdk("limits", lambda: built("FROM busybox", "RUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes", nocache=True,
                                   container_limits={"memory": 256 << 20, "memswap": 256 << 20, "cpushares": 128}))
    on.sdk("squash", lambda: [built("FROM busybox", "RUN echo x >/a", "RUN rm /a", tag="s", squash=True),
                              len(low.inspect_image("s")["RootFS"]["Layers"])])
    on.sdk("tag", lambda: built("FROM scratch", tag="Bad/Tag"))
    on.sdk("quiet", lambda: built("FROM busybox", "ENV a=b", quiet=True))
    on.sdk("pull", lambda: built("FROM nosuchimage", pull=True))


@case
def execs_in_other_ways(on):
    client, container = made(on, SLEEP)
    for options in ({"user": "33:44"}, {"workdir": "/nosuch"},
                    {"environment": {"A": "1"}}, {"detach_keys": "bad-keys"}, {"stdout": False}):
        def run(options=options):
            made = client.exec_create(container, ["sh", "-c", "id; pwd; echo $A"], **options)
            return [client.exec_start(made).decode(), client.exec_inspect(made)["ExitCode"]]

        on.sdk(f"{options}", run)
    identity = client.exec_create(container, "sleep 0.2")
    on.sdk("detached", lambda: client.exec_start(identity, detach=True))
    on.until("end", lambda: not client.exec_inspect(identity)["Running"])
    on.sdk("resize of what ended", lambda: client.exec_resize(identity, height=10, width=10))
    on.sdk("missing", lambda: client.exec_start("nosuch"))


@case
def prunes(on):
    client = on.client()
    stopped = client.containers.create("busybox", "true")
    client.containers.run("busybox", "sleep 60", detach=True)
    client.volumes.create("v1")
    client.networks.create("n1")
    client.images.build(fileobj=dockerfile("FROM busybox", "ENV a=b"))
    on.sdk("containers", lambda: client.containers.prune()["ContainersDeleted"] == [stopped.id])
    on.sdk("volumes", lambda: client.volumes.prune())
    on.sdk("networks", lambda: client.networks.prune())
    on.sdk("images", lambda: sorted(client.images.prune(filters={"dangling": True})))
    on.sdk("images that are used", lambda: client.images.prune(filters={"dangling": "bad"}))


@case
def image_lookups(on):
    client = on.client().api
    client.tag("busybox", "some/name", "t1")
    for options in ({"name": "some/name"}, {"name": "some/*"}, {"filters": {"dangling": True}},
                    {"filters": {"since": "web"}}, {"filters": {"nosuch": 1}}):
        on.sdk(f"{options}", lambda: sorted(str(one["RepoTags"]) for one in client.images(**options)))
    on.sdk("all", lambda: sorted(str(one["RepoTags"]) for one in client.images("busybox", all=True)))
    on.sdk("bad tag", lambda: client.tag("busybox", "Upper/Case"))
    on.sdk("tag of a missing one", lambda: client.tag("nosuch", "x"))
    on.sdk("pull of a missing one", lambda: client.pull("nosuch/name", "t"))
    on.sdk("remove by id", lambda: client.remove_image(client.inspect_image("some/name:t1")["Id"]))
    on.sdk("remove", lambda: client.remove_image("some/name:t1"))
    on.sdk("search term", lambda: client.search("x", limit=101))
