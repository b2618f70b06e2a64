"""The `lab` command as the tests on virtual machines use it."""
import json
import os
import pathlib
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LAB = pathlib.Path(os.environ.get("LAB_BIN", ROOT / "build/release/bin")) / "lab"
UP_SECONDS_MAX = 1200  # image and catalogue included, without a cache


class Lab:
    """The `lab` command in a folder with this labfile."""

    def __init__(self, folder, labfile):
        self.folder = folder
        self.write_labfile(labfile)

    def write_labfile(self, text):
        (self.folder / "labfile.toml").write_text(text)

    def run(self, *words, timeout=300, check=True):
        done = subprocess.run([LAB, *words], cwd=self.folder, capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)
        if check:
            assert done.returncode == 0, f"lab {' '.join(words)} -> {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def on(self, machine, *command, timeout=120, check=True):
        return self.run("exec", machine, "--", *command, timeout=timeout, check=check).stdout

    def nodes(self):
        """Host name -> (status, availability, manager status), as `docker node ls` on vm1 says."""
        text = self.on("vm1", "docker", "node", "ls", "--format",
                       "{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}")
        return {line.split()[0]: tuple(line.split()[1:]) for line in text.splitlines()}

    def status(self):
        return json.loads(self.run("status", "--json").stdout)

    def wait_for_node(self, name, state, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.nodes().get(name, ("absent",))[0] == state:
                return
            time.sleep(0.5)
        pytest.fail(f"{name} is not {state} after {seconds} s: {self.nodes()}")
