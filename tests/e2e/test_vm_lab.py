"""The main job on real virtual machines: up, the tutorial's documents, faults, repair, destroy. One boot of three
machines serves all tests, which run in file order."""
import json
import os
import pathlib
import signal
import time

import pytest

from lab_command import ROOT, UP_SECONDS_MAX, Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab"), (ROOT / "labfile.toml").read_text())
    try:
        made.run("up", timeout=UP_SECONDS_MAX)
        yield made
    finally:
        done = made.run("destroy", "-y", check=False)
        assert done.returncode == 0, done.stderr


def labels_of(lab, node):
    return json.loads(lab.on("vm1", "docker", "node", "inspect", "--format", "{{json .Spec.Labels}}", node))


def test_up_forms_the_swarm_of_the_labfile(lab):
    nodes = lab.nodes()
    assert {name: state[0] for name, state in nodes.items()} == {"vm1": "Ready", "vm2": "Ready", "vm3": "Ready"}
    assert nodes["vm1"][2] == "Leader"
    assert labels_of(lab, "vm1") == {"zone": "dmz"}
    assert labels_of(lab, "vm2") == {"zone": "lan", "type": "storage"}
    assert labels_of(lab, "vm3") == {"zone": "lan"}


def test_machines_reach_each_other_by_name(lab):
    assert "1 received" in lab.on("vm1", "ping", "-c1", "-W5", "vm2")
    assert "1 received" in lab.on("vm3", "ping", "-c1", "-W5", "vm1")


def test_the_registry_answers_with_tls_on_every_machine(lab):
    for machine in ("vm1", "vm2", "vm3"):
        answer = lab.on(machine, "curl", "-sS", "--cacert", "/etc/docker/certs.d/192.168.50.4:443/ca.crt",
                        "-o", "/dev/null", "-w", "%{http_code}", "https://192.168.50.4:443/v2/")
        assert answer == "200"


def test_the_tutorials_documents_pass(lab):
    # Compose takes minutes in an emulated machine: test_documents.py runs it in namespaces.
    documents = sorted(str(path) for path in (ROOT / "scenarios").glob("[0-9]*.md") if "compose" not in path.name)
    assert len(documents) >= 2
    lab.run("run", *documents, timeout=1800)


def test_a_second_up_changes_nothing(lab):
    before = lab.status()
    lab.run("up")
    assert lab.status() == before


def test_a_partition_makes_a_node_down_and_heal_brings_it_back(lab):
    lab.run("net", "partition", "vm1", "/", "vm2", "vm3")
    try:
        lab.wait_for_node("vm3", "Down", 60)
        assert lab.on("vm3", "hostname").strip() == "vm3", "the control channel must survive a partition"
    finally:
        lab.run("net", "heal")
    lab.wait_for_node("vm3", "Ready", 60)


def test_link_qualities_are_set_live(lab):
    lab.run("net", "set", "vm1", "vm2", "--delay", "100ms")
    try:
        reply = lab.on("vm1", "ping", "-c1", "-W5", "vm2")
        milliseconds = float(reply.split("time=")[1].split()[0])
        assert milliseconds >= 200
    finally:
        lab.run("net", "reset")


def process_ids(lab, machine, program):
    return lab.on(machine, "pidof", program, check=False).split()


@pytest.mark.parametrize("program", ["engined", "swarmd"])
def test_a_killed_daemon_comes_back_and_containers_live_on(lab, program):
    lab.on("vm2", "docker", "run", "-d", "--name", f"through-{program}", "busybox", "sleep", "1000")
    lab.on("vm1", "docker", "node", "update", "--label-add", f"killed={program}", "vm3")
    for machine in ("vm1", "vm2"):
        for process in process_ids(lab, machine, program):
            lab.on(machine, "kill", "-9", process)
    lab.run("up")
    assert lab.on("vm2", "docker", "inspect", "-f", "{{.State.Running}}", f"through-{program}").strip() == "true"
    lab.wait_for_node("vm2", "Ready", 60)
    assert labels_of(lab, "vm3")["killed"] == program
    lab.on("vm2", "docker", "rm", "-f", f"through-{program}")


def test_up_repairs_a_killed_labd(lab):
    os.kill(lab.status()["labd"]["pid"], signal.SIGKILL)
    lab.run("up")
    assert "1 received" in lab.on("vm1", "ping", "-c1", "-W5", "vm2")
    for name in ("vm1", "vm2", "vm3"):
        lab.wait_for_node(name, "Ready", 60)


def test_up_repairs_a_killed_machine(lab):
    machine = next(m for m in lab.status()["machines"] if m["name"] == "vm3")
    os.kill(machine["pid"], signal.SIGKILL)
    lab.run("up")
    lab.wait_for_node("vm3", "Ready", 90)
    assert labels_of(lab, "vm3")["zone"] == "lan"


def test_destroy_leaves_nothing(lab):
    status = lab.status()
    processes = [status["labd"]["pid"]] + [m["pid"] for m in status["machines"]]
    lab.run("destroy", "-y")
    deadline = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in processes) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [pid for pid in processes if os.path.exists(f"/proc/{pid}")] == []
    assert not pathlib.Path(status["directory"]).exists()
    assert sorted(p.name for p in lab.folder.iterdir()) == ["labfile.toml"]
