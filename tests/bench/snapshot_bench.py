#!/usr/bin/python3
"""`lab snapshot restore` of three machines until every node is Ready (goal: at most 6 s), and what belongs to it.

snapshot_bench.py [RUNS]: prints medians. Needs build/release and a cache with our image and catalogue (the first `lab
up` makes them, before the clock runs).
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

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LAB = pathlib.Path(os.environ.get("LAB_BIN", ROOT / "build/release/bin")) / "lab"


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    folder = pathlib.Path(tempfile.mkdtemp(prefix="snapshot-bench-"))
    shutil.copy(ROOT / "labfile.toml", folder)
    figures = {}

    def lab(*words):
        begin = time.monotonic()
        result = subprocess.run([LAB, *words], cwd=folder, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if result.returncode:
            raise RuntimeError(f"lab {' '.join(words)}: {result.stdout[-2000:]}")
        return time.monotonic() - begin, result.stdout

    def note(name, *words):
        seconds, _ = lab(*words)
        figures.setdefault(name, []).append(seconds)
        print(f"  {name:20} {seconds:8.3f} s", flush=True)

    def check_ready():
        _, text = lab("exec", "vm1", "--", "docker", "node", "ls", "--format", "{{.Status}}")
        if text.split() != ["Ready"] * 3:
            raise RuntimeError(f"nodes are {text.split()}")

    try:
        lab("up")
        for run in range(runs):
            note("snapshot save", "snapshot", "save", f"s{run}")
            note("snapshot restore", "snapshot", "restore", f"s{run}")
            check_ready()
            note("suspend", "suspend")
            note("resume", "resume")
            check_ready()
        size = json.loads(lab("snapshot", "ls", "--json")[1])["snapshots"][0]["bytes"]
        for name, seconds in figures.items():
            print(f"{name:20} {statistics.median(seconds):8.3f} s  median of {runs}")
        print(f"{'a snapshot':20} {size / 1e6:8.0f} MB")
    finally:
        lab("destroy", "-y")
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
