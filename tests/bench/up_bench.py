#!/usr/bin/python3
"""`lab up` from nothing to a formed swarm, beside `vagrant up` of the same packages, which forms nothing. In turns.

up_bench.py [RUNS]: prints medians and the ratio (goal 0.4 for a cold start). Needs root, build/release, what
vagrant_peer.py names, and a cache with our image and catalogue (the first `lab up` makes them, before the clock runs).
"""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from vagrant_peer import ROOT, Vagrant

MEMORY_MIB = 768


class Lab:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="up-bench-"))
        shutil.copy(ROOT / "labfile.toml", self.folder)

    def run(self, *words):
        begin = time.monotonic()
        result = subprocess.run([ROOT / "build/release/bin/lab", *words], cwd=self.folder, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if result.returncode:
            raise RuntimeError(f"lab {' '.join(words)}: {result.stdout[-2000:]}")
        return time.monotonic() - begin

    def ready_nodes(self):
        nodes = subprocess.check_output([ROOT / "build/release/bin/lab", "exec", "vm1", "--", "curl", "-s",
                                         "--unix-socket", "/var/run/docker.sock", "http://localhost/nodes"],
                                        cwd=self.folder)
        return sum(node["Status"]["State"] == "ready" for node in json.loads(nodes))

    def close(self):
        shutil.rmtree(self.folder)


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    cache = pathlib.Path(os.environ.get("LAB_CACHE", pathlib.Path.home() / ".cache/lab"))
    lab, figures = Lab(), {}
    vagrant = Vagrant(cache, MEMORY_MIB)

    def note(name, seconds):
        figures.setdefault(name, []).append(seconds)
        print(f"  {name:16} {seconds:8.3f} s", flush=True)

    try:
        lab.run("up")
        lab.run("destroy", "-y")
        for _ in range(runs):
            note("vagrant up", vagrant.run("vagrant up"))
            note("vagrant status", vagrant.run("vagrant status"))
            note("vagrant ssh", vagrant.run("vagrant ssh vm1 -c true"))
            note("vagrant destroy", vagrant.run("vagrant destroy -f"))
            note("lab up", lab.run("up"))
            if lab.ready_nodes() != 3:
                raise RuntimeError("the swarm has not three ready nodes after lab up")
            note("lab up again", lab.run("up"))
            note("lab status", lab.run("status"))
            note("lab ssh", lab.run("ssh", "vm1", "true"))
            note("lab destroy", lab.run("destroy", "-y"))
    finally:
        vagrant.close()
        lab.close()
    medians = {name: statistics.median(values) for name, values in figures.items()}
    print(f"\nmedians of {runs}")
    for name in ("up", "status", "ssh", "destroy"):
        ours, theirs = medians["lab " + name], medians["vagrant " + name]
        print(f"{name:10} lab {ours:8.3f} s   vagrant {theirs:8.3f} s   ratio {ours / theirs:.3f}")
    print(f"{'up again':10} lab {medians['lab up again']:8.3f} s")


if __name__ == "__main__":
    main()
