#!/usr/bin/python3
"""Containers: engined beside dockerd, in turns.

containers_bench.py [RUNS]: prints the medians of wall-clock seconds of each and their ratios (goals: 0.20 each) of
- `docker run --rm` of a static hello: on the default bridge, on a network with a name service, on none, on the host's;
- the same requests without the client, whose own start is the same for both engines;
- 50 containers started 8 at a time, then removed.
Needs root and dockerd; both engines run in private namespaces.
"""
import concurrent.futures
import json
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from dockerd_host import DockerdHost  # noqa: E402
from engine_host import EngineHost  # noqa: E402
from unix_http import sent  # noqa: E402

CONTAINERS, AT_A_TIME = 50, 8


def timed(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def hello(host, *flags):
    host.docker("run", "--rm", *flags, "hello-world")


def post(host, target, body=None):
    return sent(host.socket, "POST", f"/v1.41{target}", body)


def hello_requests(host):
    body = {"Image": "hello-world", "HostConfig": {"AutoRemove": True}}
    with post(host, "/containers/create", body) as created:
        identity = json.loads(created.read())["Id"]
    with post(host, f"/containers/{identity}/wait?condition=removed") as end:
        with post(host, f"/containers/{identity}/start") as started:
            started.read()
        assert json.loads(end.read())["StatusCode"] == 0


def many(host):
    names = [f"many{number}" for number in range(CONTAINERS)]
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(lambda name: host.docker("run", "-d", "--name", name, "busybox", "sleep", "1000"), names))
    host.docker("rm", "-f", *names)


WORK = {
    "run --rm hello, bridge": hello,
    "run --rm hello, own network": lambda host: hello(host, "--network", "mine"),
    "run --rm hello, none": lambda host: hello(host, "--network", "none"),
    "run --rm hello, host": lambda host: hello(host, "--network", "host"),
    "the same on the bridge, without the client": hello_requests,
    f"{CONTAINERS} started {AT_A_TIME} at a time, removed": many,
}


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    hosts = {}
    try:
        for name, kind in (("engined", EngineHost), ("dockerd", DockerdHost)):
            hosts[name] = kind(f"bench-{name[0]}{os.getpid()}")
        for host in hosts.values():
            for image in ("hello-world", "busybox"):
                host.docker("pull", "-q", image)
            host.docker("network", "create", "mine")
            hello(host)
        for title, work in WORK.items():
            seconds = {name: [] for name in hosts}
            for _ in range(runs):
                for name, host in hosts.items():
                    seconds[name].append(timed(lambda host=host, work=work: work(host)))
            ours, theirs = (statistics.median(seconds[name]) for name in ("engined", "dockerd"))
            print(f"{title}: engined {ours:.3f} s, dockerd {theirs:.3f} s, ratio {ours / theirs:.2f}", flush=True)
    finally:
        for host in hosts.values():
            host.close()


if __name__ == "__main__":
    main()
