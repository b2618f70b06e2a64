#!/usr/bin/python3
"""`lab up` and `lab destroy` of the repository's lab, again and again: nothing may be left over, and the end may not be
slower than the beginning.

up_loop.py [ROUNDS]: 50 rounds unless told otherwise. Needs build/release; makes image, catalogue and template before the
first round. Ends with status 1 when something is left or the last fifth is 1.3 times as slow as the first.
"""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAB = ROOT / "build/release/bin/lab"
NAME = "uploop"
SLOWER_MAX = 1.3


def processes():
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"/{NAME}-" in words or f"guest={NAME}-" in words:
            found.append(words[:120])
    return found


def left_over(cache):
    """What names the lab: processes, files of ours and of libvirt's. A port is held by one of the processes."""
    folders = [cache / "labs", pathlib.Path.home() / ".config/libvirt/qemu", pathlib.Path.home() / ".cache/libvirt/qemu"]
    files = [str(path) for folder in folders for path in folder.rglob(f"*{NAME}-*")]
    return processes() + files


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    folder = pathlib.Path(tempfile.mkdtemp(prefix="up-loop-"))
    text = (ROOT / "labfile.toml").read_text().replace('name = "tutorial"', f'name = "{NAME}"')
    (folder / "labfile.toml").write_text(text)
    cache = pathlib.Path(os.environ.get("LAB_CACHE", pathlib.Path.home() / ".cache/lab"))
    times = []

    def run(*words):
        begin = time.monotonic()
        subprocess.run([LAB, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.monotonic() - begin

    failed = False
    try:
        run("up")
        run("destroy", "-y")
        for number in range(1, rounds + 1):
            up, down = run("up"), run("destroy", "-y")
            times.append(up + down)
            left = left_over(cache)
            print(f"{number:3}: up {up:7.3f} s, destroy {down:6.3f} s{', left over: ' + '; '.join(left) if left else ''}",
                  flush=True)
            failed = failed or bool(left)
    finally:
        subprocess.run([LAB, "destroy", "-y"], cwd=folder, check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(folder)
    part = max(1, rounds // 5)
    first, last = statistics.median(times[:part]), statistics.median(times[-part:])
    print(f"first {part}: {first:.3f} s, last {part}: {last:.3f} s (medians), ratio {last / first:.2f}")
    sys.exit(1 if failed or last / first > SLOWER_MAX else 0)


if __name__ == "__main__":
    main()
