#!/usr/bin/python3
"""Pull and push of a 300 MB image in six layers: our image server beside dockerd, in turns.

images_bench.py [RUNS]: prints the medians of wall-clock and CPU seconds of each and their ratios (goals: pull 0.5,
push 0.6). Needs root, docker-registry, and dockerd (run privately, without network). Takes 3 GB of disk for a while.
"""

import gzip
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from image_support import DockerRegistry, ImageServer, Layout, Process, layer_tar, wait_until  # noqa: E402

LAYERS, LAYER_BYTES = 6, 50_000_000


def text_like(size, seed):
    """Bytes that gzip halves, as it does a distribution's files."""
    source = random.Random(seed)
    words = [source.randbytes(source.randint(3, 12)) for _ in range(4000)]
    parts, have = [], 0
    while have < size:
        word = source.choice(words) if source.random() < 0.7 else source.randbytes(8)
        parts.append(word)
        have += len(word)
    return b"".join(parts)[:size]


def make_image():
    tars = []
    for number in range(LAYERS):
        files, left, source = {}, LAYER_BYTES, random.Random(number)
        while left > 0:
            size = min(left, source.choice([2_000, 20_000, 200_000, 2_000_000]))
            files[f"layer{number}/file{len(files)}"] = text_like(size, source.random())
            left -= size
        tars.append(layer_tar(files))
    return Layout(tars, compress=lambda data: gzip.compress(data, 6, mtime=0))


class Dockerd(Process):
    def __init__(self, folder):
        folder.mkdir()
        self.socket = folder / "docker.sock"
        super().__init__(["dockerd", "--data-root", folder / "data", "--exec-root", folder / "exec", "-H",
                          f"unix://{self.socket}", "--pidfile", folder / "pid", "--bridge=none", "--iptables=false"],
                         folder / "log")
        wait_until(self.socket.exists, 60, "dockerd")


def docker(process, *words):
    subprocess.run(["docker", "-H", f"unix://{process.socket}", *words], check=True, stdout=subprocess.DEVNULL)


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process.child.pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(process, *words):
    cpu, begin = cpu_seconds(process), time.monotonic()
    docker(process, *words)
    return time.monotonic() - begin, cpu_seconds(process) - cpu


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    folder = pathlib.Path(tempfile.mkdtemp(prefix="images-bench-"))
    processes = []
    try:
        registry = DockerRegistry(folder / "registry")
        processes.append(registry)
        make_image().save(folder / "image")
        subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", "--preserve-digests",
                        f"dir:{folder}/image", f"docker://{registry.name}/big:1"], check=True)
        rivals = {"ours": ImageServer(folder / "ours"), "dockerd": Dockerd(folder / "dockerd")}
        processes += rivals.values()
        figures = {}
        for run in range(runs):
            target = DockerRegistry(folder / f"target{run}")
            processes.append(target)
            for name, rival in rivals.items():
                source, copy = f"{registry.name}/big:1", f"{target.name}/{name}:1"
                figures.setdefault(("pull", name), []).append(timed(rival, "pull", source))
                docker(rival, "tag", source, copy)
                figures.setdefault(("push", name), []).append(timed(rival, "push", copy))
                docker(rival, "rmi", source, copy)
            target.stop()
        for work in ("pull", "push"):
            wall, cpu = ({name: statistics.median(figure[kind] for figure in figures[work, name]) for name in rivals}
                         for kind in (0, 1))
            print(f"{work}: wall {wall['ours']:.2f} s against {wall['dockerd']:.2f} s, ratio "
                  f"{wall['ours'] / wall['dockerd']:.2f}; cpu {cpu['ours']:.2f} s against {cpu['dockerd']:.2f} s, "
                  f"ratio {cpu['ours'] / cpu['dockerd']:.2f}")
    finally:
        for process in reversed(processes):
            process.stop()
        subprocess.run(["rm", "-rf", folder], check=True)


if __name__ == "__main__":
    main()
