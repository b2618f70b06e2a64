#!/usr/bin/python3
"""`lab up` and `lab destroy` of the repository's lab, again and again: nothing may be left over, and the end may not be
slower than the beginning.

up_loop.py [ROUNDS] [--interrupt] [--cold]: 50 rounds unless told otherwise. With --interrupt every `up` gets a Ctrl-C,
each round a bit later until the last one comes when `up` is nearly done; then `up` finishes the lab in every second
round, and `destroy` removes what there is in the others. Needs build/release; makes image, catalogue and template before
the first round. Ends with status 1 when something is left, an interrupted lab could not be finished, or the last fifth of
whole rounds is 1.3 times as slow as the first.
"""

import argparse
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAB = ROOT / "build/release/bin/lab"
NAME = "uploop"
SLOWER_MAX = 1.3
INTERRUPTED = 130
ANSWER_SECONDS_MAX = 60


class Loop:
    def __init__(self, folder, up_words):
        self.folder = folder
        self.up_words = up_words
        text = (ROOT / "labfile.toml").read_text().replace('name = "tutorial"', f'name = "{NAME}"')
        (folder / "labfile.toml").write_text(text)

    def run(self, *words):
        """Seconds that the command took; its output becomes the error when it fails."""
        begin = time.monotonic()
        done = subprocess.run([LAB, *words], cwd=self.folder, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise RuntimeError(f"lab {' '.join(words)} -> {done.returncode}\n{done.stdout[-3000:]}")
        return time.monotonic() - begin

    def up(self):
        return self.run(*self.up_words)

    def destroy(self):
        return self.run("destroy", "-y")

    def interrupted_up(self, after):
        """Ctrl-C as a terminal sends it, to the whole process group: (exit status, seconds until it ended, output)."""
        process = subprocess.Popen([LAB, *self.up_words], cwd=self.folder, text=True, start_new_session=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        time.sleep(after)
        begin = time.monotonic()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        output = process.communicate(timeout=ANSWER_SECONDS_MAX)[0]
        return process.returncode, time.monotonic() - begin, output

    def ready_nodes(self):
        states = subprocess.run([LAB, "exec", "vm1", "--", "docker", "node", "ls", "--format", "{{.Status}}"],
                                cwd=self.folder, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        return states.stdout.split().count("Ready")


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


def whole_round(loop, times):
    up, down = loop.up(), loop.destroy()
    times.append(up + down)
    return f"up {up:7.3f} s, destroy {down:6.3f} s", True


def interrupted_round(loop, after, finish):
    status, answered, output = loop.interrupted_up(after)
    said = f"Ctrl-C after {after:6.2f} s: exit {status} in {answered:5.2f} s"
    good = status in (0, INTERRUPTED)
    if not good:
        said += "\n" + output[-3000:]
    if finish:
        seconds, nodes = loop.up(), loop.ready_nodes()
        said += f", up {seconds:7.3f} s, {nodes} ready nodes"
        good = good and nodes == 3
    return said + f", destroy {loop.destroy():6.3f} s", good


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", nargs="?", type=int, default=50)
    parser.add_argument("--interrupt", action="store_true")
    parser.add_argument("--cold", action="store_true", help="boot, without a template")
    return parser.parse_args()


def ratio_of_ends(times):
    part = max(1, len(times) // 5)
    first, last = statistics.median(times[:part]), statistics.median(times[-part:])
    print(f"first {part}: {first:.3f} s, last {part}: {last:.3f} s (medians), ratio {last / first:.2f}")
    return last / first


def main():
    options = arguments()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="up-loop-"))
    cache = pathlib.Path(os.environ.get("LAB_CACHE", pathlib.Path.home() / ".cache/lab"))
    loop = Loop(folder, ["up", "--cold"] if options.cold else ["up"])
    times, failed = [], False
    try:
        loop.up()
        loop.destroy()
        whole = loop.up()
        loop.destroy()
        for number in range(1, options.rounds + 1):
            if options.interrupt:
                said, good = interrupted_round(loop, whole * number / options.rounds, number % 2 == 0)
            else:
                said, good = whole_round(loop, times)
            left = left_over(cache)
            print(f"{number:3}: {said}{', left over: ' + '; '.join(left) if left else ''}", flush=True)
            failed = failed or bool(left) or not good
    finally:
        subprocess.run([LAB, "destroy", "-y"], cwd=folder, check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(folder)
    slower = bool(times) and ratio_of_ends(times) > SLOWER_MAX
    sys.exit(1 if failed or slower else 0)


if __name__ == "__main__":
    main()
