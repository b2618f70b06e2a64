#!/usr/bin/python3
"""`lab up` to a formed swarm with its registry answering, from a template and booted, beside `vagrant up` of the same
packages, which forms nothing. In turns, so that all see the same machine.

up_bench.py [RUNS]: prints medians and ratios. Goals: `lab up` at most 10 s and 0.06 of vagrant's (0.4 with --cold), 25 s
with seven machines, destroy 1 s, status 30 ms, `lab ssh` 1.1 times plain ssh. Needs build/release and a cache with our
image, catalogue and templates (a first `lab up` makes them, before the clock runs); for the peer also root and what
vagrant_peer.py names: without them only ours is measured.
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


SEVEN = """name = "seven"
[network]
subnet = "192.168.50.0/24"
[swarm]
leader = "vm1"
[[registries]]
machine = "vm1"
port = 443
tls = true
""" + "".join(f"""
[machines.vm{number}]
address = "192.168.50.{3 + number}"
role = "{"manager" if number <= 3 else "worker"}"
labels = {{ zone = "{"dmz" if number == 1 else "lan"}" }}
""" for number in range(1, 8))


class Lab:
    def __init__(self, labfile):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="up-bench-"))
        (self.folder / "labfile.toml").write_text(labfile)

    def run(self, *words):
        begin = time.monotonic()
        result = subprocess.run([ROOT / "build/release/bin/lab", *words], cwd=self.folder, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if result.returncode:
            raise RuntimeError(f"lab {' '.join(words)}: {result.stdout[-2000:]}")
        return time.monotonic() - begin

    def plain_ssh(self):
        config = self.folder / "ssh_config"
        config.write_text(subprocess.check_output([ROOT / "build/release/bin/lab", "ssh-config"], cwd=self.folder,
                                                  text=True))
        begin = time.monotonic()
        subprocess.run(["ssh", "-F", config, "vm1", "true"], check=True)
        return time.monotonic() - begin

    def ready_nodes(self):
        nodes = subprocess.check_output([ROOT / "build/release/bin/lab", "exec", "vm1", "--", "curl", "-s",
                                         "--unix-socket", "/var/run/docker.sock", "http://localhost/nodes"],
                                        cwd=self.folder)
        return sum(node["Status"]["State"] == "ready" for node in json.loads(nodes))

    def close(self):
        shutil.rmtree(self.folder)


def up_and_check(lab, machines, *words):
    seconds = lab.run("up", *words)
    if lab.ready_nodes() != machines:
        raise RuntimeError(f"the swarm has not {machines} ready nodes after lab up")
    return seconds


def peer(cache):
    try:
        return Vagrant(cache, MEMORY_MIB)
    except RuntimeError as why:
        print(f"{why}: only lab is measured", flush=True)
        return None


def measure(runs, lab, seven, vagrant):
    figures = {}

    def note(name, seconds):
        figures.setdefault(name, []).append(seconds)
        print(f"  {name:16} {seconds:8.3f} s", flush=True)

    for one in (lab, seven):
        one.run("up")
        one.run("destroy", "-y")
    for _ in range(runs):
        if vagrant:
            note("vagrant up", vagrant.run("vagrant up"))
            note("vagrant status", vagrant.run("vagrant status"))
            note("vagrant ssh", vagrant.run("vagrant ssh vm1 -c true"))
            note("vagrant destroy", vagrant.run("vagrant destroy -f"))
        note("lab up --cold", up_and_check(lab, 3, "--cold"))
        lab.run("destroy", "-y")
        note("lab up", up_and_check(lab, 3))
        note("lab up again", lab.run("up"))
        note("lab status", lab.run("status"))
        for _ in range(3):
            note("plain ssh", lab.plain_ssh())
            note("lab ssh", lab.run("ssh", "vm1", "true"))
        note("lab destroy", lab.run("destroy", "-y"))
        note("lab up, seven", up_and_check(seven, 7))
        seven.run("destroy", "-y")
    return {name: statistics.median(values) for name, values in figures.items()}


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    cache = pathlib.Path(os.environ.get("LAB_CACHE", pathlib.Path.home() / ".cache/lab"))
    lab, seven = Lab((ROOT / "labfile.toml").read_text()), Lab(SEVEN)
    vagrant = peer(cache)
    try:
        medians = measure(runs, lab, seven, vagrant)
    finally:
        for one in (lab, seven):
            subprocess.run([ROOT / "build/release/bin/lab", "destroy", "-y"], cwd=one.folder, check=False)
            one.close()
        if vagrant:
            vagrant.close()
    print(f"\nmedians of {runs}")
    for name in ("lab up", "lab up --cold", "lab status", "lab ssh", "lab destroy"):
        theirs = medians.get("vagrant " + name.split()[1])
        beside = f"   vagrant {theirs:8.3f} s   ratio {medians[name] / theirs:.3f}" if theirs else ""
        print(f"{name:14} {medians[name]:8.3f} s{beside}")
    for name in ("lab up, seven", "lab up again", "plain ssh"):
        print(f"{name:14} {medians[name]:8.3f} s")
    print(f"lab ssh is {medians['lab ssh'] / medians['plain ssh']:.2f} times plain ssh")


if __name__ == "__main__":
    main()
