#!/usr/bin/python3
"""What many containers and long logs cost: engined beside dockerd.

engine_bench.py [RUNS]: prints of each, with the ratio,
- `docker ps -a` with 500 containers, `docker logs` of a million lines (medians of seconds, goals 0.5 each); the list also
  without the client, whose own work is the same for both engines and most of the time;
- resident memory: of the idle engine (with containerd for dockerd, goal 0.15), and of one more running container, its
  monitor and what the engine grew by included (goal 0.25);
- seconds from the start of a killed engine to its first answer with 200 containers, half of them running (engined
  alone, goal 1).
Needs root and dockerd; both engines run in private namespaces.
"""
import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from dockerd_host import DockerdHost  # noqa: E402
from engine_host import EngineHost  # noqa: E402
from unix_http import sent  # noqa: E402

LISTED, LINES, RUNNING, RESTARTED, AT_A_TIME = 500, 1_000_000, 20, 200, 4


def ask(host, target, body=None, method="POST"):
    with sent(host.socket, method, f"/v1.41{target}", body) as response:
        data = response.read()
    assert response.status < 300, data
    return json.loads(data) if data else None


def create(host, name):
    return ask(host, f"/containers/create?name={name}", {"Image": "busybox", "Cmd": ["sleep", "10000"]})["Id"]


def start_many(host, names):
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(lambda name: ask(host, f"/containers/{create(host, name)}/start"), names))


def resident_bytes(host):
    """Of all processes of the engine: itself, containerd, monitors; not of what runs in containers."""
    total = 0
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            resident = int((folder / "statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
        name = os.path.basename(words[0])
        if name in ("engined", "conmon", "dockerd", "containerd", "containerd-shim-runc-v2") and \
                any(str(host.folder) in word for word in words):
            total += resident * os.sysconf("SC_PAGE_SIZE")
    return total


def docker_seconds(host, *words):
    environment = dict(os.environ, DOCKER_HOST=f"unix://{host.socket}")
    begin = time.perf_counter()
    subprocess.run(["docker", *words], check=True, env=environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def list_seconds(host):
    begin = time.perf_counter()
    assert len(ask(host, "/containers/json?all=1", method="GET")) >= LISTED
    return time.perf_counter() - begin


def compare(title, hosts, measure, runs, unit="s"):
    """In turns; the first of each is not counted."""
    values = {name: [] for name in hosts}
    for number in range(runs + 1):
        for name, host in hosts.items():
            value = measure(host)
            if number > 0:
                values[name].append(value)
    show(title, *(statistics.median(values[name]) for name in ("engined", "dockerd")), unit)


def show(title, ours, theirs, unit):
    print(f"{title}: engined {ours:.3f} {unit}, dockerd {theirs:.3f} {unit}, ratio {ours / theirs:.2f}", flush=True)


def measure_memory(hosts):
    idle = {name: resident_bytes(host) for name, host in hosts.items()}
    show("resident, idle", idle["engined"] / 1e6, idle["dockerd"] / 1e6, "MB")
    for host in hosts.values():
        start_many(host, [f"running{number}" for number in range(RUNNING)])
    each = {name: (resident_bytes(host) - idle[name]) / RUNNING / 1e6 for name, host in hosts.items()}
    show("resident, one more running container", each["engined"], each["dockerd"], "MB")
    for host in hosts.values():
        host.remove_all()


def measure_restart(host):
    start_many(host, [f"again{number}" for number in range(RESTARTED // 2)])
    for number in range(RESTARTED // 2):
        create(host, f"created{number}")
    host.kill()
    begin = time.perf_counter()
    host.start()
    print(f"start with {RESTARTED} containers, half of them running: {time.perf_counter() - begin:.3f} s", flush=True)


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    hosts = {}
    try:
        for name, kind in (("engined", EngineHost), ("dockerd", DockerdHost)):
            hosts[name] = kind(f"bench-{name[0]}{os.getpid()}")
        for host in hosts.values():
            host.docker("pull", "-q", "busybox")
        measure_memory(hosts)
        for host in hosts.values():
            for number in range(LISTED):
                create(host, f"listed{number}")
        compare(f"ps -a of {LISTED} containers", hosts, lambda host: docker_seconds(host, "ps", "-a"), runs)
        compare("the same without the client", hosts, list_seconds, runs)
        for host in hosts.values():
            host.docker("rm", *host.out("ps", "-aq").split(), timeout=600)
            host.docker("run", "--name", "long", "busybox", "seq", "1", str(LINES), timeout=600)
        compare(f"logs of {LINES} lines", hosts, lambda host: docker_seconds(host, "logs", "long"), runs)
        measure_restart(hosts["engined"])
    finally:
        for host in hosts.values():
            host.close()


if __name__ == "__main__":
    main()
