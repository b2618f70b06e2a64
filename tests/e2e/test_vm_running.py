"""What can be changed on a machine that runs: its shared folders (copied by `up`, brought up to date by `sync` and `sync
--watch`), its processors, and that somebody paused it. One machine without a swarm serves all tests, which run in file
order."""
import json
import os
import pathlib
import subprocess
import time

import pytest

from lab_command import LAB, UP_SECONDS_MAX, Lab

LABFILE = """name = "sync"
[defaults]
sync = [{ from = "shared", to = "/vagrant", exclude = [".git"] }]
commands = ["cat /vagrant/app/hello > /root/seen"]
[machines.vm1]
cpus = 1
cpus_max = 2
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("sync"), LABFILE)
    made.shared = made.folder / "shared"
    (made.shared / "app").mkdir(parents=True)
    (made.shared / ".git").mkdir()
    (made.shared / ".git/config").write_text("not for machines")
    (made.shared / "app/hello").write_text("hello")
    (made.shared / "app/run").write_text("#!/bin/sh\necho ran\n")
    (made.shared / "app/run").chmod(0o755)
    (made.shared / "out").symlink_to("/etc/hostname")
    try:
        made.run("up", timeout=UP_SECONDS_MAX)
        yield made
    finally:
        done = made.run("destroy", "-y", check=False)
        assert done.returncode == 0, done.stderr


def sync(lab, *words):
    [machine] = json.loads(lab.run("sync", "--json", *words).stdout)["machines"]
    [folder] = machine["folders"]
    return folder


def virsh(lab, verb):
    socket = pathlib.Path.home() / ".cache/libvirt/libvirt-sock"
    uri = "qemu:///session" + (f"?socket={socket}" if os.geteuid() == 0 else "")
    subprocess.run(["virsh", "-q", "-c", uri, verb, f"{lab.status()['id']}.vm1"], check=True, timeout=60)


def test_up_copies_before_commands_run(lab):
    assert lab.on("vm1", "cat", "/root/seen") == "hello"
    assert lab.on("vm1", "/vagrant/app/run") == "ran\n"
    assert lab.on("vm1", "cat", "/vagrant/out") == "vm1\n"
    assert lab.on("vm1", "ls", "-A", "/vagrant").split() == ["app", "out"]


def test_a_second_sync_copies_nothing(lab):
    sync(lab)
    again = sync(lab)
    assert (again["copied"], again["adjusted"], again["removed"], again["bytes"]) == (0, 0, 0, 0)
    assert "is up to date" in lab.run("up").stdout


def test_what_changed_here_changes_there(lab):
    (lab.shared / "app/hello").write_text("changed")
    (lab.shared / "app/run").unlink()
    done = sync(lab, "vm1")
    assert (done["copied"], done["removed"]) == (1, 1)
    assert lab.on("vm1", "cat", "/vagrant/app/hello") == "changed"
    assert lab.on("vm1", "ls", "/vagrant/app").split() == ["hello"]


def test_watch_follows_every_change(lab):
    watch = subprocess.Popen([LAB, "sync", "--watch"], cwd=lab.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True)
    try:
        while "watching" not in (line := watch.stderr.readline()):
            assert line, "it ended"
        (lab.shared / "new folder").mkdir()
        (lab.shared / "new folder/file").write_text("new")
        deadline = time.monotonic() + 60
        while lab.on("vm1", "sh", "-c", "cat '/vagrant/new folder/file' 2>&1; true") != "new":
            assert time.monotonic() < deadline
        assert "vm1: /vagrant: " in watch.stdout.readline()
    finally:
        watch.send_signal(subprocess.signal.SIGINT)
        assert watch.wait(timeout=30) == 0
        watch.stdout.close()
        watch.stderr.close()


def test_what_cannot_be_is_said(lab):
    before = (lab.folder / "labfile.toml").read_text()
    lab.write_labfile(before.replace('sync = [', 'sync = [] #'))
    try:
        refused = lab.run("sync", check=False)
        assert refused.returncode != 0 and "no machine has a shared folder: add sync =" in refused.stderr
        refused = lab.run("sync", "vm2", check=False)
        assert refused.returncode != 0 and "vm2" in refused.stderr
    finally:
        lab.write_labfile(before)
    lab.on("vm1", "sh", "-c", "rm -r /vagrant/app && mkdir -p /vagrant/app/hello/own")
    refused = lab.run("sync", check=False)
    assert refused.returncode != 0 and "remove one of the two" in refused.stderr
    lab.on("vm1", "rm", "-r", "/vagrant/app")
    assert sync(lab)["copied"] == 1


def test_processors_are_plugged_and_outlive_a_suspension(lab):
    before = (lab.folder / "labfile.toml").read_text()
    boot = lab.on("vm1", "cat", "/proc/sys/kernel/random/boot_id")
    assert lab.on("vm1", "nproc").strip() == "1"
    lab.write_labfile(before.replace("cpus = 1", "cpus = 2"))
    assert "2 processors in place of 1" in lab.run("up").stderr
    assert lab.on("vm1", "nproc").strip() == "2"
    assert "is up to date" in lab.run("up").stdout
    lab.run("suspend")
    lab.run("up")
    assert lab.on("vm1", "nproc").strip() == "2"
    assert lab.on("vm1", "cat", "/proc/sys/kernel/random/boot_id") == boot
    lab.write_labfile(before.replace("cpus = 1", "cpus = 2").replace("cpus_max = 2", "memory = '512MiB'"))
    assert "the change takes effect after `lab halt vm1` and `lab up`" in lab.run("up").stderr
    lab.write_labfile(before.replace("cpus = 1", "cpus = 2"))
    lab.run("up")


def test_a_paused_machine_is_said_at_once_and_goes_on(lab):
    virsh(lab, "suspend")
    for words in (["exec", "vm1", "--", "true"], ["ssh", "vm1", "true"], ["cp", "vm1:/etc/hosts", "."], ["sync", "vm1"]):
        refused = lab.run(*words, check=False, timeout=25)  # less than any deadline of a connection
        assert refused.returncode != 0 and "vm1 is paused: `lab up vm1` lets it go on" in refused.stderr
    assert "vm1: is paused: lets it go on" in lab.run("up").stderr
    assert lab.on("vm1", "hostname") == "vm1\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read_is_named(lab):
    secret = lab.shared / "secret"
    secret.touch(mode=0)
    refused = lab.run("sync", check=False)
    secret.unlink()
    assert refused.returncode != 0 and "secret cannot be read" in refused.stderr
