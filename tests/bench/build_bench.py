#!/usr/bin/python3
"""`docker build` of the tutorial's fortune image: engined beside dockerd, in turns, in private hosts of their own.

build_bench.py [RUNS]: prints the medians of wall-clock seconds, cold (no cache; the package download is a file of the
size that the packages have) and all cached, and their ratios (goals: 0.5 each). Needs root and dockerd.
"""
import os
import pathlib
import random
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from dockerd_host import DockerdHost  # noqa: E402
from engine_host import EngineHost  # noqa: E402

DOCKERFILE = """FROM busybox

RUN dd if=/packages/lists of=/update bs=1M
RUN mkdir /fortune && for i in $(seq 1 800); do head -c 20000 /packages/lists > /fortune/$i; done
RUN mkdir /cowsay && for i in $(seq 1 200); do head -c 20000 /packages/lists > /cowsay/$i; done
COPY clock.sh /usr/local/bin/clock.sh
RUN chmod +x /usr/local/bin/clock.sh
"""
LISTS_BYTES = 20_000_000


def timed(host, context, *flags):
    begin = time.monotonic()
    host.docker("build", "-q", "-t", "fortune-clock:3.0", *flags, context, timeout=300)
    return time.monotonic() - begin


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    os.environ["DOCKER_BUILDKIT"] = "0"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="build-bench-"))
    (folder / "base").mkdir()
    (folder / "base/lists").write_bytes(random.Random(1).randbytes(LISTS_BYTES))
    (folder / "base/Dockerfile").write_text("FROM busybox\nCOPY lists /packages/lists\n")
    (folder / "context").mkdir()
    (folder / "context/Dockerfile").write_text(DOCKERFILE.replace("FROM busybox", "FROM base"))
    (folder / "context/clock.sh").write_text("#!/bin/sh\ndate\n")
    hosts = {"ours": EngineHost(f"bench-ours-{os.getpid()}"), "dockerd": DockerdHost(f"bench-dockerd-{os.getpid()}")}
    figures = {}
    try:
        for host in hosts.values():
            host.docker("pull", "-q", "busybox")
            host.docker("build", "-q", "-t", "base", folder / "base")
        for _ in range(runs):
            for name, host in hosts.items():
                figures.setdefault(("cold", name), []).append(timed(host, folder / "context", "--no-cache"))
                for _ in range(3):
                    figures.setdefault(("cached", name), []).append(timed(host, folder / "context"))
        for work in ("cold", "cached"):
            ours, theirs = (statistics.median(figures[work, name]) for name in hosts)
            print(f"build, {work}: {ours:.3f} s against {theirs:.3f} s, ratio {ours / theirs:.2f}")
    finally:
        for host in hosts.values():
            host.close()
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()


if __name__ == "__main__":
    main()
