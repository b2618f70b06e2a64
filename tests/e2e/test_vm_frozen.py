"""That a swarm does not notice when its machines are frozen: three managers, saved and restored. Nobody stands for
election, nobody is taken for down."""
import json
import time

import pytest

from lab_command import UP_SECONDS_MAX, Lab

LABFILE = """name = "frozen"
[network]
subnet = "192.168.63.0/24"
[machines.vm1]
role = "manager"
[machines.vm2]
role = "manager"
[machines.vm3]
role = "manager"
[swarm]
"""
MACHINES = ("vm1", "vm2", "vm3")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("frozen"), LABFILE)
    try:
        made.run("up", timeout=UP_SECONDS_MAX)
        wait_until_described(made)
        yield made
    finally:
        done = made.run("destroy", "-y", check=False)
        assert done.returncode == 0, done.stderr


def nodes(lab):
    """By host name, what GET /nodes says."""
    listed = lab.on("vm1", "curl", "-s", "--unix-socket", "/var/run/docker.sock", "http://localhost/nodes")
    return {one["Description"]["Hostname"]: one for one in json.loads(listed)}


def wait_until_described(lab):
    """What an agent learns of its engine reaches the managers with a heartbeat, which may be after `lab up`, and
    changes the node."""
    deadline = time.monotonic() + 60
    while any("EngineVersion" not in node["Description"]["Engine"] for node in nodes(lab).values()):
        assert time.monotonic() < deadline, nodes(lab)
        time.sleep(0.5)


def node_versions(lab):
    """By host name, the index of the Raft entry that last changed the node: a node that was Down for a moment has
    another one."""
    return {name: node["Version"]["Index"] for name, node in nodes(lab).items()}


def changes_of_leadership(lab):
    said = "journalctl -u swarmd -o cat | grep -c lead; true"
    return {machine: lab.on(machine, "sh", "-c", said) for machine in MACHINES}


@pytest.mark.parametrize("how", [("snapshot", "restore", "one"), ("suspend",)])
def test_no_election_and_no_node_down(lab, how):
    lab.run("snapshot", "rm", "one", check=False)
    leadership, versions = changes_of_leadership(lab), node_versions(lab)
    assert set(versions) == set(MACHINES)
    lab.run("snapshot", "save", "one")
    assert changes_of_leadership(lab) == leadership and node_versions(lab) == versions
    lab.run(*how)
    if how == ("suspend",):
        lab.run("resume")
    # By the machines' own time, three missed heartbeats and any election timeout are over then.
    lab.on("vm1", "sleep", "16")
    assert changes_of_leadership(lab) == leadership
    assert node_versions(lab) == versions
    assert [state for state, *_ in lab.nodes().values()] == ["Ready"] * 3
