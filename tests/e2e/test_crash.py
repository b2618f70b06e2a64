"""engined killed by SIGKILL at random instants: what it has acknowledged is there afterwards, and nothing else is."""
import os
import pathlib
import random
import re
import threading
import time

import pytest
from crash_load import Load, counted
from engine_host import EngineHost, wait_for

ROUNDS = int(os.environ.get("LAB_KILL_ROUNDS", "100"))
SEED = int(os.environ.get("LAB_KILL_SEED", "7"))
FOLDERS = ("data/containers", "data/overlay", "data/volumes", "data/image/tmp", "data/image/layers",
           "data/image/blobs/sha256", "exec/bundles", "exec/crun", "exec/netns", "exec/exits")


@pytest.fixture
def engine():
    if os.geteuid() != 0:
        pytest.skip("namespaces for an engine need root")
    host = EngineHost(f"crash-{os.getpid()}")
    try:
        host.docker("pull", "-q", "busybox")
        yield host
    finally:
        host.close()


def prepare(engine, tmp_path):
    """What stands through all rounds: a counter, a container to commit, one with a policy, an image to load."""
    engine.docker("run", "-d", "--name", "counter", "busybox", "sh", "-c",
                  "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done")
    engine.docker("run", "--name", "written", "busybox", "sh", "-c", "echo written > /file")
    engine.docker("run", "-d", "--name", "policy", "--restart", "unless-stopped", "busybox", "sleep", "1000")
    engine.docker("run", "--name", "other", "busybox", "sh", "-c", "echo saved > /saved")
    engine.docker("commit", "other", "saved")
    engine.docker("save", "-o", tmp_path / "saved.tar", "saved")
    engine.docker("rmi", "saved")
    engine.docker("rm", "other")
    return (tmp_path / "saved.tar").read_bytes()


def check(engine, load):
    """The ledger against what the engine says."""
    ledger, api = load.ledger, load.api
    containers = {item["Names"][0][1:]: item for item in api.ask("GET", "/containers/json?all=1")}
    for name, phase in ledger.containers.items():
        assert name in containers, f"container {name} ({phase}) is lost"
        if phase == "started":
            api.ask("POST", f"/containers/{name}/wait")
        if phase == "created":
            continue
        state = api.ask("GET", f"/containers/{name}/json")["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 3), (name, phase, state)
        log = api.ask("GET", f"/containers/{name}/logs?stdout=1")
        assert log[8:].decode() == f"{name}\n", (name, phase, log)
    images = {tag: item["Id"] for item in api.ask("GET", "/images/json") for tag in item["RepoTags"] or []}
    for tag, identity in ledger.images.items():
        assert images.get(tag) == identity, f"image {tag} is lost"
    volumes = {item["Name"]: item["Mountpoint"] for item in api.ask("GET", "/volumes")["Volumes"] or []}
    for name, text in ledger.volumes.items():
        assert name in volumes, f"volume {name} is lost"
        assert pathlib.Path(volumes[name], "file").read_text(encoding="utf-8") == text
    networks = {item["Name"]: item["Id"] for item in api.ask("GET", "/networks")}
    for name, identity in ledger.networks.items():
        assert networks.get(name) == identity, f"network {name} is lost"
    there = {item["Id"] for item in containers.values()} | set(images.values()) | set(volumes) | set(networks.values())
    assert not there & ledger.removed, "what was removed came back"
    numbers = counted(api.ask("GET", "/containers/counter/logs?stdout=1"))
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= ledger.log_lines
    assert containers["counter"]["State"] == "running"
    if ledger.stopped:
        assert containers["policy"]["State"] == "exited", "a container that was stopped came back"
    return {item["Id"] for item in containers.values()}


def check_contents(load):
    """Images that survived are whole."""
    for tag in load.ledger.images:
        kind, name = tag.split("-")[0], tag.split(":")[0]
        if kind not in ("builds", "commits"):
            continue
        file = "/made" if kind == "builds" else "/file"
        identity = load.api.ask("POST", "/containers/create", {"Image": tag, "Cmd": ["cat", file]})["Id"]
        load.api.ask("POST", f"/containers/{identity}/start")
        load.api.ask("POST", f"/containers/{identity}/wait")
        log = load.api.ask("GET", f"/containers/{identity}/logs?stdout=1")
        assert log[8:].decode() == (f"{name}\n" if kind == "builds" else "written\n"), tag


def forget_unacknowledged(load):
    """Removes what a request made that nobody saw answered, so that the next round begins with the ledger alone."""
    known = set(load.ledger.containers) | {"counter", "written", "policy"}
    for item in load.api.ask("GET", "/containers/json?all=1"):
        if item["Names"][0][1:] not in known:
            load.api.call("DELETE", f"/containers/{item['Id']}?force=1&v=1")
    for item in load.api.ask("GET", "/volumes")["Volumes"] or []:
        if item["Name"] not in load.ledger.volumes:
            load.api.call("DELETE", f"/volumes/{item['Name']}")
    for item in load.api.ask("GET", "/networks"):
        if item["Name"] not in load.ledger.networks and item["Name"] not in ("bridge", "host", "none"):
            load.api.call("DELETE", f"/networks/{item['Id']}")
    for item in load.api.ask("GET", "/images/json"):
        for tag in item["RepoTags"] or []:
            if tag not in load.ledger.images and tag != "busybox:latest":
                load.api.call("DELETE", f"/images/{tag}?force=1")


def processes_of(engine):
    """Monitors and runtimes whose command lines name the engine's folder."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if os.path.basename(words[0]) in ("conmon", "crun") and any(str(engine.folder) in word for word in words):
            found.append(" ".join(words))
    return found


def cgroups_of(identities):
    return [path for path, folders, _ in os.walk("/sys/fs/cgroup") for name in folders if name in identities]


def check_nothing_is_left(engine, identities):
    engine.remove_all()
    for prune in ("volume", "network"):
        engine.docker(prune, "prune", "-f")
    for name in engine.out("volume", "ls", "-q").split():
        engine.docker("volume", "rm", name)
    for image in engine.out("images", "-aq").split():
        engine.docker("rmi", "-f", image, check=False)
    assert engine.out("images", "-aq") == ""
    wait_for("the end of the mounts", lambda: engine.mounts() == [])
    for folder in FOLDERS:
        wait_for(f"the end of what is in {folder}", lambda folder=folder: os.listdir(engine.folder / folder) == [])
    ruleset = engine.run("nft", "list", "ruleset").stdout
    assert not re.search(r"(tcp|udp) \. \d+ :", ruleset), ruleset
    assert "br-" not in ruleset, ruleset
    wait_for("the end of the interfaces", lambda: not re.search(r"veth|br-", engine.run("ip", "link").stdout))
    wait_for("the end of the processes", lambda: not processes_of(engine))
    assert cgroups_of(identities) == []


def test_sigkill_at_random_instants_loses_and_leaks_nothing(engine, tmp_path):
    load = Load(engine, prepare(engine, tmp_path))
    chooser = random.Random(SEED)
    identities, starts = set(), []
    for number in range(ROUNDS):
        stop = threading.Event()
        threads = load.run_until(stop)
        time.sleep(chooser.uniform(0.05, 1.0))
        engine.kill()
        stop.set()
        for thread in threads:
            thread.join()
        assert load.failures == [], f"round {number}"
        begin = time.monotonic()
        engine.start()
        starts.append(time.monotonic() - begin)
        identities |= check(engine, load)
        forget_unacknowledged(load)
    print(f"{load.done} steps acknowledged in {ROUNDS} rounds; started again in {sorted(starts)[len(starts) // 2]:.2f} s, "
          f"at most {max(starts):.2f} s")
    check_contents(load)
    check_nothing_is_left(engine, identities | load.ledger.removed)


def test_a_container_that_is_being_stopped_does_not_come_back_after_a_crash(engine):
    engine.docker("run", "-d", "--name", "c1", "--restart", "unless-stopped", "busybox", "sh", "-c",
                  "trap 'touch /stopping' TERM; while :; do sleep 0.05; done")
    wait_for("the trap", lambda: engine.docker("top", "c1").stdout.count("sleep"))
    pid = engine.inspect("c1")["State"]["Pid"]
    stopping = threading.Thread(target=lambda: engine.docker("stop", "-t", "60", "c1", check=False))
    stopping.start()
    wait_for("the signal", lambda: pathlib.Path(f"/proc/{pid}/root/stopping").exists())
    engine.kill()
    stopping.join()
    os.kill(pid, 9)
    engine.start()
    wait_for("the end", lambda: not engine.inspect("c1")["State"]["Running"])
    assert engine.inspect("c1")["State"]["Status"] == "exited"
    assert engine.inspect("c1")["RestartCount"] == 0
