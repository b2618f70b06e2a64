"""Machines that start from a template: sisters share nothing that must be a machine's own, a template that is stale or
damaged is not used, `--cold` boots. Two machines without a swarm, in a cache of their own that borrows the images."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from lab_command import LAB, UP_SECONDS_MAX, Lab

LABFILE = """
name = "warm"
[network]
subnet = "192.168.62.0/24"
[machines.vm1]
address = "192.168.62.4"
[machines.vm2]
address = "192.168.62.5"
"""
STARTED, BOOTED, MADE = ": starting", ": booting", "making the template"


def shared_cache():
    home = pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("LAB_CACHE", pathlib.Path(os.environ.get("XDG_CACHE_HOME", home)) / "lab"))


class WarmLab(Lab):
    def up(self, *words):
        """Brings it up and gives what it said."""
        done = self.run("up", *words, timeout=UP_SECONDS_MAX)
        return done.stdout + done.stderr

    def destroy(self):
        self.run("destroy", "-y")

    def templates(self):
        return sorted(path.parent for path in (self.cache / "templates").glob("*/memory"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Up from a template that it has made."""
    folder = tmp_path_factory.mktemp("warm")
    # Not below the folder of the tests: hard links and image files want the cache's own file system.
    cache = shared_cache().parent / f"lab-warm-test-{os.getpid()}"
    before = os.environ.get("LAB_CACHE")
    made = WarmLab(folder, LABFILE)
    made.cache = cache
    try:
        cache.mkdir(parents=True)
        for name in ("images", "catalogue"):
            (shared_cache() / name).mkdir(parents=True, exist_ok=True)
            (cache / name).symlink_to(shared_cache() / name)
        os.environ["LAB_CACHE"] = str(cache)
        said = made.up()
        assert MADE in said and "vm1" + STARTED in said and "vm2" + STARTED in said, said
        yield made
    finally:
        done = made.run("destroy", "-y", check=False)
        if before is None:
            os.environ.pop("LAB_CACHE", None)
        else:
            os.environ["LAB_CACHE"] = before
        shutil.rmtree(cache, ignore_errors=True)
        assert done.returncode == 0, done.stderr


def on_both(lab, command):
    return [lab.on(machine, "sh", "-c", command).strip() for machine in ("vm1", "vm2")]


@pytest.mark.parametrize("what, command", [
    ("host name", "hostname"),
    ("machine id", "cat /etc/machine-id"),
    ("boot id", "cat /proc/sys/kernel/random/boot_id"),
    ("SSH host key", "cat /etc/ssh/ssh_host_ed25519_key.pub"),
    ("MAC on the lab's network", "cat /sys/class/net/lab0/address"),
    ("MAC of management", "cat /sys/class/net/mgmt0/address"),
    ("address", "ip -4 -o addr show lab0"),
    ("random bytes", "head -c 32 /dev/urandom | sha256sum"),
    ("generated uuid", "cat /proc/sys/kernel/random/uuid"),
    ("journal's folder", "ls /run/log/journal"),
    ("journal's machine", "journalctl -o json -n 1 --output-fields=_MACHINE_ID,_BOOT_ID | tail -n 1"),
    ("address of the default bridge", "cat /sys/class/net/docker0/address"),
    ("networks' ids", "docker network ls -q --no-trunc"),
    ("engine's id", "curl -s --unix-socket /var/run/docker.sock http://localhost/info | grep -o '\"ID\":\"[^\"]*\"'"),
])
def test_sisters_differ(lab, what, command):
    first, second = on_both(lab, command)
    assert first and second and first != second, f"{what}: {first}"


def test_the_journal_begins_with_the_machine(lab):
    for machine in ("vm1", "vm2"):
        entries = [json.loads(line) for line in lab.on(machine, "journalctl", "-o", "json").splitlines()]
        own = lab.on(machine, "cat", "/etc/machine-id").strip()
        assert {entry["_MACHINE_ID"] for entry in entries} == {own}
        assert {entry["_HOSTNAME"] for entry in entries} == {machine}


def test_the_clock_is_the_hosts(lab):
    for machine in ("vm1", "vm2"):
        before = time.time()
        now = float(lab.on(machine, "date", "+%s"))
        assert before - 3 <= now <= time.time() + 1


def test_nothing_of_the_template_is_left(lab):
    for machine in ("vm1", "vm2"):
        assert "lab-identity" not in lab.on(machine, "sh", "-c", "find /etc -name '*lab-identity*'; true")
        assert lab.on(machine, "systemctl", "is-system-running", check=False).strip() == "running"
        assert "no leases" in lab.on(machine, "sh", "-c", "find /var/lib -name '*.lease*' | grep . || echo no leases")


def test_machines_reach_each_other_by_name(lab):
    assert "1 received" in lab.on("vm1", "ping", "-c1", "-W5", "vm2")


def test_a_machine_that_was_powered_off_boots_as_itself(lab):
    identity = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub /sys/class/net/lab0/address"
    before = lab.on("vm2", "sh", "-c", f"echo kept > /root/kept; {identity}")
    lab.run("halt", "vm2")
    said = lab.up()
    assert "vm2" + BOOTED in said, said
    assert lab.on("vm2", "sh", "-c", identity) == before
    assert lab.on("vm2", "cat", "/root/kept").strip() == "kept"
    assert lab.on("vm2", "systemctl", "is-system-running", check=False).strip() == "running"


def test_machines_live_on_without_their_template(lab):
    for template in lab.templates():
        shutil.rmtree(template)
    # From a disk and memory that it has not read before.
    assert lab.on("vm1", "sh", "-c", "cat /usr/sbin/* > /dev/null && echo read").strip() == "read"


def test_a_damaged_template_is_not_used(lab):
    lab.destroy()
    said = lab.up("vm1")
    assert MADE in said, said
    [template] = lab.templates()
    with open(template / "memory", "r+b") as memory:
        memory.seek(64 << 20)
        memory.write(b"damaged" * 1000)
    lab.destroy()
    said = lab.up("vm1")
    assert "is damaged" in said and MADE in said and "vm1" + STARTED in said, said
    assert lab.on("vm1", "hostname").strip() == "vm1"


def test_another_size_of_machine_has_another_template(lab):
    """Whatever is in the key makes a template stale in the same way."""
    before = lab.templates()
    lab.destroy()
    lab.write_labfile(LABFILE.replace('"192.168.62.4"', '"192.168.62.4"\nmemory = "512MiB"'))
    try:
        said = lab.up("vm1")
        assert MADE in said and "vm1" + STARTED in said, said
        assert int(lab.on("vm1", "awk", "/MemTotal/ {print $2}", "/proc/meminfo")) < 512 << 10
        assert len(lab.templates()) == len(before) + 1
    finally:
        lab.destroy()
        lab.write_labfile(LABFILE)


@pytest.mark.parametrize("after", [0.0, 0.2])
def test_up_finishes_what_an_interrupted_one_began(lab, after):
    """At once after the start of its emulator a machine has not read the state that it is to go on from."""
    up = subprocess.Popen([LAB, "up"], cwd=lab.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
    while not any(machine["pid"] for machine in lab.status()["machines"]):
        assert up.poll() is None
    time.sleep(after)
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 130
    lab.up()
    assert on_both(lab, "hostname") == ["vm1", "vm2"]
    lab.destroy()


def test_cold_boots(lab):
    templates = {path: path.stat().st_mtime_ns for path in lab.templates()}
    said = lab.up("vm1", "--cold")
    assert "vm1" + BOOTED in said and STARTED not in said and MADE not in said, said
    assert {path: path.stat().st_mtime_ns for path in lab.templates()} == templates
    assert lab.on("vm1", "hostname").strip() == "vm1"


def test_destroy_leaves_no_file_of_libvirts(lab):
    lab_id = lab.status()["id"]
    lab.destroy()
    logs = pathlib.Path.home() / ".cache/libvirt/qemu/log"
    assert [path.name for path in logs.glob(f"{lab_id}.*")] == []
