"""The Python SDK as its users drive it."""
import io
import tarfile

import docker
from case import case
from docker.types import IPAMConfig, IPAMPool, LogConfig, Mount

SLEEP = ["sleep", "60"]


def made(on, *arguments, **options):
    """A started container of the low-level client."""
    client = on.client().api
    host_config = client.create_host_config(**options.pop("host", {}))
    container = client.create_container("busybox", *arguments, host_config=host_config, **options)
    client.start(container)
    return client, container


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@case
def run_gives_output(on):
    client = on.client()
    on.sdk("run", lambda: client.containers.run("busybox", "echo hello world", remove=True))
    on.sdk("stderr", lambda: client.containers.run("busybox", "sh -c 'echo out; sleep 0.2; echo err >&2'", stderr=True,
                                                   remove=True))
    on.sdk("error", lambda: client.containers.run("busybox", "cat /test", remove=True))
    on.sdk("no image", lambda: client.containers.run("nosuch"))
    on.sdk("no driver", lambda: client.containers.run("busybox", "echo x", log_config=LogConfig(type="none")))
    on.sdk("stream", lambda: [line.decode() for line in client.containers.run("busybox", "sh -c 'echo a; echo b'",
        stream=True)])


@case
def run_removes_itself(on):
    client = on.client()
    on.sdk("output", lambda: client.containers.run("busybox", "sh -c 'echo hello && sleep 0.5'", auto_remove=True))
    on.sdk("error", lambda: client.containers.run("busybox", "sh -c '>&2 echo error && sleep 0.5 && exit 1'",
                                                  auto_remove=True))


@case
def detached_container(on):
    client = on.client()
    container = client.containers.run("busybox", "sleep 60", detach=True, name="c1")
    on.sdk("attrs", lambda: container.attrs)
    container.reload()
    on.sdk("status", lambda: container.status)
    on.sdk("listed", lambda: [one.name for one in client.containers.list()])
    on.sdk("sparse", lambda: [one.attrs for one in client.containers.list(sparse=True)])
    on.sdk("top", lambda: container.top(ps_args="-o pid,args")["Titles"])
    on.sdk("kill", lambda: container.kill())
    container.reload()
    on.sdk("exited", lambda: container.status)
    on.sdk("remove", lambda: container.remove())
    on.sdk("gone", lambda: client.containers.get("c1"))


@case
def commits_and_differences(on):
    client = on.client()
    container = client.containers.run("busybox", "touch /test", detach=True)
    on.sdk("wait", lambda: container.wait())
    on.sdk("diff", lambda: container.diff())
    image = container.commit(changes=["EXPOSE 8000", 'CMD ["echo", "x"]'])
    on.sdk("image", lambda: [image.attrs["Config"]["ExposedPorts"], image.attrs["Config"]["Cmd"],
                             image.attrs["Parent"]])
    on.sdk("run", lambda: client.containers.run(image.id, "ls /test", remove=True))
    on.sdk("remove", lambda: client.api.remove_image(image.id, force=True))


@case
def execs(on):
    client = on.client()
    container = client.containers.run("busybox", "sleep 60", detach=True)
    script = ["sh", "-c", "echo out; sleep 0.2; echo err >&2"]
    on.sdk("plain", lambda: [str(part) for part in container.exec_run("echo hello")])
    on.sdk("failed", lambda: [str(part) for part in container.exec_run("docker ps")])
    on.sdk("demux", lambda: [str(part) for part in container.exec_run(script, demux=True)])
    on.sdk("stream", lambda: [str(part) for part in container.exec_run(script, stream=True).output])
    on.sdk("stream demux", lambda: [str(part) for part in container.exec_run(script, stream=True, demux=True).output])
    on.sdk("tty", lambda: [str(part) for part in container.exec_run(script, tty=True)])
    on.sdk("tty stream", lambda: [str(part) for part in container.exec_run(script, tty=True, stream=True).output])
    on.sdk("user", lambda: [str(part) for part in container.exec_run("id", user="web", workdir="/var/www")])
    on.sdk("env", lambda: [str(part) for part in container.exec_run("sh -c 'echo $X'", environment=["X=Y"])])
    low = client.api
    made = low.exec_create(container.id, ["mkdir", "/does/not/exist"])
    on.sdk("start", lambda: low.exec_start(made))
    on.sdk("inspect", lambda: low.exec_inspect(made))


@case
def exec_sockets(on):
    client, container = made(on, SLEEP)
    identity = client.exec_create(container, ["printf", "hello"], tty=True)
    sock = client.exec_start(identity, socket=True)
    on.record("frame", repr(sock.read(64)))
    sock.close()
    identity = client.exec_create(container, "cat", stdin=True, tty=True)
    sock = client.exec_start(identity, tty=True, socket=True)
    sock._sock.sendall(b"typed\n")
    on.until("echo", lambda: b"typed" in sock._sock.recv(64))
    sock._sock.sendall(b"\x10\x11")
    on.record("detached", rest_of(sock))


def rest_of(sock):
    """Whether the other side closes the connection."""
    sock._sock.settimeout(5)
    while True:
        data = sock._sock.recv(1024)
        if not data:
            return "closed"


@case
def logs(on):
    client, container = made(on, ["sh", "-c", "echo one; echo two"])
    client.wait(container)
    on.sdk("all", lambda: client.logs(container))
    on.sdk("tail", lambda: client.logs(container, tail=1))
    on.sdk("tail 0", lambda: client.logs(container, tail=0))
    on.sdk("until", lambda: client.logs(container, until=1))
    on.sdk("since", lambda: client.logs(container, since=1))
    on.sdk("future", lambda: client.logs(container, since=4102444800))
    on.sdk("stream", lambda: b"".join(client.logs(container, stream=True, follow=True)))
    on.sdk("nothing", lambda: client.logs(container, stdout=False, stderr=False))


@case(differs={r"put junk": "the words are those of another library"})
def archives(on):
    client = on.client().api
    container = client.create_container("busybox", ["sh", "-c", "cat /v/a; ls -p /v"], volumes=["/v"])
    on.sdk("put", lambda: client.put_archive(container, "/v", tar_of({"a": b"A\n", "d/b": b"B\n"})))
    on.sdk("put nowhere", lambda: client.put_archive(container, "/nosuch", tar_of({"a": b""})))
    on.sdk("put on a file", lambda: client.put_archive(container, "/etc/passwd", tar_of({"a": b""})))
    on.sdk("put junk", lambda: client.put_archive(container, "/v", b"junk"))
    client.start(container)
    client.wait(container)
    on.sdk("logs", lambda: client.logs(container))
    stream, stat = client.get_archive(container, "/v/a")
    on.record("stat", {key: stat[key] for key in ("name", "size", "mode", "linkTarget")})
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        on.record("members", [[one.name, one.size, one.mode & 0o777, one.uid] for one in tar.getmembers()])
    stream, stat = client.get_archive(container, "/v")
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        on.record("members", sorted(tar.getnames()))
    stream, stat = client.get_archive(container, "/bin/sh")
    on.record("link", {key: stat[key] for key in ("name", "mode", "linkTarget")})
    on.sdk("missing", lambda: client.get_archive(container, "/nosuch"))


@case
def host_configs(on):
    client = on.client().api
    for number, options in enumerate((
            {"mem_limit": "700M", "memswap_limit": "1G"}, {"mem_swappiness": 40}, {"tmpfs": {"/tmp1": "size=3M"}},
            {"isolation": "default"},
            {"auto_remove": True}, {"init": True}, {"group_add": [1000, "1001"]},
            {"device_cgroup_rules": ["c 7:128 rwm"]},
            {"log_config": LogConfig(type="json-file", config={"max-file": "100"})},
            {"log_config": LogConfig(type="", config={"max-file": "100"})},
            
            {"restart_policy": {"Name": "always", "MaximumRetryCount": 0}},
            {"restart_policy": {"Name": "on-failure", "MaximumRetryCount": 5}},
            {"cpuset_cpus": "0,1", "cpu_shares": 512}, {"pid_mode": "host"},
            {"ipc_mode": "shareable"}, {"storage_opt": {"size": "120G"}},
            {"cpu_rt_period": 1000, "cpu_rt_runtime": 500},
            {"ulimits": [docker.types.Ulimit(name="nofile", soft=10, hard=20)]},
            {"dns": ["1.2.3.4"], "dns_opt": ["ndots:1"], "dns_search": ["x"]},
            {"extra_hosts": {"a": "10.0.0.1"}}, {"sysctls": {"net.ipv4.ip_forward": "1"}},
            {"privileged": True, "read_only": True},
            {"port_bindings": {"1111": ("127.0.0.1", 4567), "2222/udp": None, 3333: [1, 2]}},
            {"volumes_from": ["nosuch"]}, {"shm_size": "1M"},
            {"blkio_weight": 100}, {"oom_kill_disable": True, "oom_score_adj": 5}, {"userns_mode": "host"},
            {"pids_limit": 100},
            {"mounts": [Mount(type="volume", source="vol", target="/mnt", labels={"a": "b"})]},
            {"cgroup_parent": "mine"},
            {"nano_cpus": 500000000}, {"uts_mode": "host"}, {"cap_add": ["SYS_TIME"], "cap_drop": ["MKNOD"]},
            {"runtime": "runc"})):
        def create(options=options, number=number):
            client.create_container("busybox", "true", name=f"c{number}",
                                    host_config=client.create_host_config(**options))
            return client.inspect_container(f"c{number}")["HostConfig"]

        on.sdk(f"{sorted(options)}", create)


@case
def configurations(on):
    client = on.client().api
    for number, options in enumerate((
            {"environment": {"Foo": None, "Other": "one", "Blank": ""}}, {"stop_timeout": 25},
            {"mac_address": "02:42:ac:11:00:0a"},
            {"volumes": ["/a", "/b"]}, {"ports": [80, (81, "udp"), "82/tcp"]}, {"entrypoint": "echo -n"},
            {"entrypoint": ["echo", "-n"]},
            {"labels": ["a", "b"]}, {"labels": {"a": "1"}}, {"working_dir": "/tmp"},
            {"domainname": "x", "hostname": "y"}, {"user": "web"},
            {"stdin_open": True, "tty": True}, {"stop_signal": "SIGINT"}, {"network_disabled": True},
            {"domainname": "example.test"},
            {"healthcheck": {"test": "true", "interval": 1000000000}}, {"healthcheck": {"test": ["NONE"]}},
            {"healthcheck": {"test": []}})):
        def create(options=options, number=number):
            client.create_container("busybox", "true", name=f"c{number}", **options)
            return client.inspect_container(f"c{number}")["Config"]

        on.sdk(f"{sorted(options)}", create)


@case
def networks(on):
    client = on.client()
    network = client.networks.create("n", labels={"foo": "bar"}, check_duplicate=True)
    on.sdk("attrs", lambda: network.attrs)
    on.sdk("duplicate", lambda: client.networks.create("n", check_duplicate=True))
    on.sdk("ids", lambda: [one.name for one in client.networks.list(ids=[network.id])])
    on.sdk("short", lambda: [one.name for one in client.networks.list(ids=[network.id[:8]])])
    on.sdk("none", lambda: [one.name for one in client.networks.list(ids=["fdhjk"])])
    on.sdk("names", lambda: sorted(one.name for one in client.networks.list(names=["n"])))
    container = client.containers.create("busybox", "sleep 60", name="c1")
    on.sdk("connect", lambda: network.connect(container, aliases=["x"]))
    container.start()
    on.sdk("members", lambda: [one.name for one in client.networks.get(network.id).containers])
    on.sdk("greedy", lambda: [one.attrs for one in client.networks.list(ids=[network.id], greedy=True)])
    on.sdk("twice", lambda: network.connect(container))
    on.sdk("disconnect", lambda: network.disconnect(container, force=True))
    on.sdk("remove", lambda: network.remove())
    on.sdk("gone", lambda: client.networks.get("n"))


@case
def network_settings(on):
    client = on.client().api
    ipam = IPAMConfig(pool_configs=[IPAMPool(subnet="172.28.0.0/16", iprange="172.28.5.0/24", gateway="172.28.5.254",
                                             aux_addresses={"a": "172.28.1.5", "b": "172.28.1.6"})])
    on.sdk("ipam", lambda: client.inspect_network(client.create_network("i", ipam=ipam)["Id"]))
    on.sdk("host", lambda: client.create_network("h", driver="host"))
    on.sdk("internal", lambda: client.inspect_network(client.create_network("int", internal=True)["Id"]))
    on.sdk("attachable", lambda: client.inspect_network(client.create_network("att", attachable=True)["Id"]))
    on.sdk("ingress", lambda: client.create_network("ing", ingress=True))
    six = IPAMConfig(pool_configs=[IPAMPool(subnet="2001:389::1/64", iprange="2001:389::0/96",
                                            gateway="2001:389::ffff")])
    client.create_network("six", enable_ipv6=True, ipam=six)
    container = client.create_container("busybox", SLEEP, host_config=client.create_host_config(network_mode="six"),
                                        networking_config=client.create_networking_config({
                                            "six": client.create_endpoint_config(
                                            ipv6_address="2001:389::f00d", aliases=["foo", "bar"],
                                            links=[("up", "bar")])}))
    on.sdk("start", lambda: client.start(container))
    on.sdk("endpoint", lambda: client.inspect_container(container)["NetworkSettings"]["Networks"])
    on.sdk("reconnect", lambda: [client.disconnect_container_from_network(container, "six"),
                                 client.connect_container_to_network(
        container, "six", ipv6_address="2001:389::f00e", links=[("up", "bar")])])
    on.sdk("endpoint", lambda: client.inspect_container(container)["NetworkSettings"]["Networks"])
    on.sdk("prune", lambda: sorted(client.prune_networks()["NetworksDeleted"]))


@case
def volumes(on):
    client = on.client()
    volume = client.volumes.create("v1", driver="local", labels={"k": "v1"})
    on.sdk("attrs", lambda: volume.attrs)
    on.sdk("list", lambda: [one.name for one in client.volumes.list(filters={"name": "v1"})])
    on.sdk("missing", lambda: client.volumes.get("missing"))
    client.containers.create("busybox", name="c1", volumes=["v1:/x"])
    on.sdk("in use", lambda: volume.remove())
    on.sdk("force", lambda: client.api.remove_volume("missing", force=True))
    on.sdk("remove missing", lambda: client.api.remove_volume("missing"))
    on.sdk("prune", lambda: client.volumes.prune())


@case
def images(on):
    client = on.client()
    image = client.images.get("busybox")
    on.sdk("tag", lambda: image.tag("dockersdk.tests/x", "some-tag"))
    on.sdk("list", lambda: [one.tags for one in client.images.list("dockersdk.tests/x")])
    on.sdk("list tag", lambda: [sorted(one.tags) for one in client.images.list("dockersdk.tests/x:some-tag")])
    on.sdk("quiet", lambda: client.api.images("busybox", quiet=True))
    on.sdk("remove", lambda: client.images.remove("dockersdk.tests/x:some-tag"))
    on.sdk("missing", lambda: client.images.get("nosuch"))
    on.sdk("history", lambda: image.history())
    on.sdk("save and load", lambda: [one.tags for one in client.images.load(b"".join(image.save(named=True)))])
    on.sdk("prune", lambda: client.images.prune())
    on.sdk("prune cache", lambda: client.images.prune_builds())


@case
def imports(on):
    client = on.client().api
    data = tar_of({"testdata": b"x" * 1000})
    on.sdk("bytes", lambda: client.import_image_from_data(data, repository="test/bytes"))
    on.sdk("changes", lambda: client.import_image_from_data(data, repository="test/changes",
                                                            changes=["USER foobar", 'CMD ["echo"]']))
    on.sdk("config", lambda: client.inspect_image("test/changes")["Config"])
    on.sdk("stream", lambda: client.import_image(src=io.BytesIO(data), repository="test/stream", tag="t"))


def dockerfile(*lines):
    return io.BytesIO("\n".join(lines).encode())


@case(differs={r"Step": "a step's line comes in one piece"})
def builds(on):
    client = on.client()
    low = client.api

    def built(*lines, **options):
        return list(low.build(fileobj=dockerfile(*lines), decode=True, **options))

    on.sdk("buildargs", lambda: built("FROM scratch", "ARG test", "USER $test", tag="b", buildargs={"test": "OK"}))
    on.sdk("user", lambda: low.inspect_image("b")["Config"]["User"])
    on.sdk("shmsize", lambda: built("FROM scratch", "CMD x", shmsize=134217728))
    on.sdk("isolation", lambda: built("FROM scratch", "CMD x", isolation="default"))
    on.sdk("labels", lambda: [built("FROM scratch", tag="l", labels={"test": "OK"}),
                              low.inspect_image("l")["Config"]["Labels"]])
    on.sdk("cache from", lambda: built("FROM busybox", "ENV FOO=bar", "RUN touch baz", "RUN touch bax", tag="c1"))
    on.sdk("cache from", lambda: built("FROM busybox", "ENV FOO=bar", "RUN touch baz", "RUN touch bax", tag="c2",
                                       cache_from=["c1"]))
    on.sdk("cache from", lambda: built("FROM busybox", "ENV FOO=bar", "RUN touch baz", "RUN touch bax", tag="c3",
                                       cache_from=["nosuch"]))
    on.sdk("stderr", lambda: built("FROM busybox", "RUN echo message >&2", nocache=True))
    on.sdk("none", lambda: built("FROM busybox", "RUN ping -c1 nosuch.docker", network_mode="none"))
    on.sdk("hosts", lambda: built("FROM busybox", "RUN grep -c test /etc/hosts",
                                  extra_hosts={"a.test": "127.0.0.1", "b.test": "127.0.0.1"}))
    on.sdk("high level", lambda: client.images.build(fileobj=dockerfile("FROM busybox",
        "CMD echo Successfully built abcd1234"))[0].id)
    on.sdk("unknown", lambda: client.images.build(fileobj=dockerfile("FROM busybox", "NOTACOMMAND"))[0].id)
    on.sdk("fails", lambda: client.images.build(fileobj=dockerfile("FROM busybox", "RUN exit 3"))[0].id)


@case(differs={r"Step": "a step's line comes in one piece"})
def builds_of_folders(on):
    client = on.client().api
    on.files({"ctx/Dockerfile": "FROM busybox\nADD . /test\nRUN find /test -type f | sort\n", "ctx/not-ignored": "x",
              "ctx/#file.txt": "x",
              "ctx/ignored/subdir/file": "x", "ctx/ignored/subdir/excepted": "x",
              "ctx/.dockerignore": "ignored\nDockerfile\n.dockerignore\n"
              "!ignored/subdir/excepted\n\n#*\n", "out/Dockerfile": "FROM busybox\nCOPY . /src\nRUN ls -a /src\n"})
    on.sdk("ignore", lambda: list(client.build(path=str(on.folder / "ctx"), decode=True, rm=True)))
    on.sdk("gzip", lambda: list(client.build(path=str(on.folder / "ctx"), decode=True, gzip=True, rm=True))[-1])
    on.sdk("outside", lambda: list(client.build(path=str(on.folder / "ctx"),
                                                dockerfile=str(on.folder / "out/Dockerfile"), decode=True, rm=True)))


@case
def links_and_environment(on):
    low, one = made(on, SLEEP, name="one", environment={"FOO": "1"})
    host_config = low.create_host_config(links={"one": "mylink"})
    container = low.create_container("busybox", "env", name="linked", host_config=host_config, hostname="h1")
    low.start(container)
    low.wait(container)
    on.sdk("logs", lambda: sorted(low.logs(container).decode().split()))
    name = low.inspect_container(container)["Name"][1:]
    on.sdk("unlink", lambda: low.remove_container(f"{name}/mylink", link=True))
    on.sdk("unlink twice", lambda: low.remove_container(f"{name}/mylink", link=True))
    on.sdk("names", lambda: sorted(len(one["Names"]) for one in low.containers(all=True)))


@case(differs={r"HostPort": "dockerd's order is that of a Go map"})
def ports(on):
    client = on.client()
    for number, port in enumerate((None, ("127.0.0.1", 1111), [1234, 4567], 2222)):
        container = client.containers.run("busybox", "sleep 60", detach=True, ports={"2222/tcp": port},
                                          name=f"c{number}")
        container.reload()
        on.sdk(f"ports {port}", lambda: container.ports)
        container.remove(force=True)


@case
def waiting(on):
    client, container = made(on, ["sh", "-c", "sleep 0.3; exit 3"])
    on.sdk("wait", lambda: client.wait(container))
    on.sdk("again", lambda: client.wait(container, condition="not-running"))
    _, other = made(on, ["sleep", "0.5"], host={"auto_remove": True})
    on.sdk("removed", lambda: client.wait(other, condition="removed"))
    on.sdk("missing", lambda: client.wait("nosuch"))


@case
def stops_and_restarts(on):
    client, container = made(on, SLEEP)
    for label, call in (("restart", lambda: client.restart(container, timeout=0)),
                        ("pause", lambda: client.pause(container)),
                        ("state", lambda: client.inspect_container(container)["State"]),
                        ("unpause", lambda: client.unpause(container)),
                        ("kill integer", lambda: client.kill(container, signal=9)),
                        ("wait", lambda: client.wait(container)),
                        ("state", lambda: client.inspect_container(container)["State"]),
                        ("kill", lambda: client.kill(container)),
                        ("stop", lambda: client.stop(container)),
                        ("rename", lambda: client.rename(container, "hong_meiling")),
                        ("update", lambda: client.update_container(container, mem_limit=300 << 20)),
                        ("policy", lambda: client.update_container(container,
                                                                   restart_policy={"Name": "on-failure",
                                                                       "MaximumRetryCount": 42})),
                        ("host config", lambda: client.inspect_container(container)["HostConfig"]["RestartPolicy"])):
        on.sdk(label, call)


@case
def health_checks(on):
    client, container = made(on, SLEEP, healthcheck={"test": "true", "interval": 100_000_000, "timeout": 1_000_000_000,
                                                     "retries": 1,
                                                       "start_period": 3_000_000_000})
    on.until("healthy", lambda: client.inspect_container(container)["State"]["Health"]["Status"] == "healthy")
    on.sdk("config", lambda: client.inspect_container(container)["Config"]["Healthcheck"])
    on.sdk("short", lambda: client.create_container("busybox", healthcheck={"test": "true", "interval": 1}))


@case
def system(on):
    client = on.client()
    on.sdk("ping", lambda: client.ping())
    on.sdk("version", lambda: sorted(client.version()))
    on.sdk("info", lambda: sorted(client.info()))
    on.sdk("df", lambda: sorted(client.df()))
    on.sdk("old", lambda: docker.DockerClient(base_url=f"unix://{on.host.socket}", version="1.24").ping())
    on.sdk("too new", lambda: docker.APIClient(base_url=f"unix://{on.host.socket}", version="1.99").containers())
    on.sdk("auto", lambda: docker.APIClient(base_url=f"unix://{on.host.socket}", version="auto").api_version)
    on.sdk("login", lambda: client.login("user", "password", registry="127.0.0.1:1"))


@case
def events(on):
    client = on.client()
    stream = client.events(decode=True, filters={"type": "container"})
    client.containers.create("busybox", name="c1", labels={"a": "b"})
    on.record("event", next(stream))
    stream.close()


@case
def statistics(on):
    client, container = made(on, SLEEP)
    on.sdk("once", lambda: sorted(client.stats(container, stream=False)))
    stream = client.stats(container, decode=True)
    on.record("first", sorted(next(stream)))
    stream.close()
