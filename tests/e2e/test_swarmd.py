"""swarmd on nodes in network namespaces, driven over its API and with the stock docker client."""

import http.client
import os
import re
import stat
import subprocess
import threading
import time

import pytest

from swarm_nodes import ROOT, Cluster, SwarmError, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@pytest.fixture
def cluster(tmp_path, request):
    made = Cluster(tmp_path, request.param)
    try:
        yield made
        for node in made.nodes:
            assert node.process is None or node.process.poll() is None, f"{node.name} died: {node.log()}"
    finally:
        made.close()


def nodes(count):
    return pytest.mark.parametrize("cluster", [count], indirect=True, ids=[f"{count}nodes"])


def leaders(node):
    return [n["ID"] for n in node.nodes().values() if n.get("ManagerStatus", {}).get("Leader")]


def leader_of(cluster, running):
    """The node that all the running ones call the leader."""
    def agreed():
        named = {tuple(leaders(node)) for node in running}
        return named.pop() if len(named) == 1 else None
    (node_id,) = wait_until(agreed, 15, "one leader that all agree on")
    return next(node for node in cluster.nodes if node.process and node.id == node_id)


def state_of(asked, node_id):
    return asked.nodes()[node_id]["Status"]["State"]


@nodes(3)
def test_the_stock_client_forms_a_swarm_and_manages_its_nodes(cluster):
    one, two, three = cluster.nodes
    for node in cluster.nodes:
        node.start()
    refused = one.docker("node", "ls", check=False)
    assert "This node is not a swarm manager. Use \"docker swarm init\"" in refused.stderr
    said = one.docker("swarm", "init", "--advertise-addr", "eth0")
    assert f"Swarm initialized: current node ({one.id}) is now a manager." in said
    token = one.docker("swarm", "join-token", "-q", "worker").strip()
    assert f"docker swarm join --token {token} 10.213.0.1:2377" in said
    again = one.docker("swarm", "init", check=False)
    assert "This node is already part of a swarm." in again.stderr

    assert two.docker("swarm", "join", "--token", token, "10.213.0.1:2377") == "This node joined a swarm as a worker.\n"
    token = one.docker("swarm", "join-token", "-q", "manager").strip()
    assert three.docker("swarm", "join", "--token", token, "10.213.0.1") == "This node joined a swarm as a manager.\n"
    refused = two.docker("node", "ls", check=False)
    assert "Worker nodes can't be used to view or modify cluster state." in refused.stderr

    one.docker("node", "update", "--label-add", "zone=lan", "--label-add", "type=storage", "node2")
    labels = "{{.Spec.Labels.zone}} {{.Spec.Labels.type}}"
    assert three.docker("node", "inspect", "node2", "--format", labels) == "lan storage\n"
    three.docker("node", "update", "--label-rm", "type", "--availability", "drain", "node2")
    rows = "{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}} {{.EngineVersion}}"
    listed = one.docker("node", "ls", "--format", rows)
    assert listed.splitlines() == ["node1 Ready Active Leader 0.1.0", "node2 Ready Drain  0.1.0",
                                   "node3 Ready Active Reachable 0.1.0"]
    assert one.docker("node", "ls", "-q", "--filter", "role=worker").strip() == two.id
    assert one.docker("node", "ls", "-q", "--filter", "node.label=zone=lan").strip() == two.id
    assert "Hostname:              \tnode1" in one.docker("node", "inspect", "self", "--pretty")
    assert one.docker("node", "ps", "self").startswith("ID")

    assert one.docker("node", "promote", "node2") == "Node node2 promoted to a manager in the swarm.\n"
    wait_until(lambda: two.info()["ControlAvailable"], 15, "node2 is a manager")
    assert one.docker("node", "demote", "node2") == "Manager node2 demoted in the swarm.\n"
    wait_until(lambda: not two.info()["ControlAvailable"], 15, "node2 is a worker")

    assert one.docker("swarm", "update", "--autolock=false", "--cert-expiry", "720h") == "Swarm updated.\n"
    assert one.get("/swarm")[1]["Spec"]["CAConfig"]["NodeCertExpiry"] == 720 * 3600 * 10**9
    assert "no unlock key is set" in one.docker("swarm", "unlock-key", check=False).stderr
    assert "Is Manager: true" in one.docker("info")


@nodes(2)
def test_engined_hands_on_what_is_swarmds_and_either_restarts_alone(cluster):
    one, two = cluster.nodes
    for node in cluster.nodes:
        node.use_engined()
    assert "Swarm: inactive" in one.docker("info"), "before swarmd is there"
    for node in cluster.nodes:
        node.start()
    one.docker("swarm", "init", "--advertise-addr", one.address)
    token = one.docker("swarm", "join-token", "-q", "worker").strip()
    two.docker("swarm", "join", "--token", token, f"{one.address}:2377")
    one.docker("node", "update", "--label-add", "zone=lan", "node2")
    rows = "{{.Hostname}} {{.Status}} {{.ManagerStatus}}"
    expected = ["node1 Ready Leader", "node2 Ready "]

    def all_ready():
        return one.docker("node", "ls", "--format", rows).splitlines() == expected

    # A manager's session with itself, begun or begun anew, is not there in the same instant.
    wait_until(all_ready, 20, "both nodes are ready")
    assert f"{one.id} *" in one.docker("node", "ls")
    assert "Is Manager: true" in one.docker("info")
    assert "Worker nodes can't be used" in two.docker("node", "ls", check=False).stderr

    one.kill()
    assert one.docker("ps", "-q") == ""
    assert "does not answer" in one.docker("node", "ls", check=False).stderr
    one.start()
    wait_until(all_ready, 20, "both nodes are ready after a restart of swarmd")
    one.engine.kill()
    assert one.nodes()[two.id]["Spec"]["Labels"] == {"zone": "lan"}
    one.engine.start()
    wait_until(all_ready, 20, "both nodes are ready after a restart of engined")
    assert two.docker("swarm", "leave") == "Node left the swarm.\n"


@nodes(2)
def test_a_wrong_token_or_address_is_refused_in_dockers_words(cluster):
    one, two = cluster.nodes
    one.start()
    two.start()
    one.init()
    good = one.tokens()["Worker"]

    def join(token, address="10.213.0.1:2377"):
        return two.post("/swarm/join", {"ListenAddr": "0.0.0.0:2377", "RemoteAddrs": [address], "JoinToken": token})

    other = "0" if good[60] != "0" else "1"
    status, body = join(good[:-5] + "aaaaa")
    assert (status, body["message"]) == (400, "rpc error: code = InvalidArgument desc = A valid join token is necessary "
                                              "to join this cluster")
    status, body = join(good[:55] + other + good[56:])
    assert status == 500 and body["message"].startswith("remote CA does not match fingerprint. Expected: ")
    status, body = join(good, "10.213.0.1:2388")
    assert status == 503 and body["message"].endswith('dialing dial tcp 10.213.0.1:2388: connect: connection refused"')
    assert join("bogus")[1]["message"] == "invalid join token"
    assert two.info()["LocalNodeState"] == "inactive"

    version = one.get("/swarm")[1]["Version"]["Index"]
    assert one.post(f"/swarm/update?version={version}&rotateWorkerToken=true", one.get("/swarm")[1]["Spec"])[0] == 200
    assert join(good)[0] == 400, "a token that was rotated away"
    two.join(one)
    assert two.info()["LocalNodeState"] == "active"


@nodes(3)
def test_three_managers_survive_the_loss_of_the_leader(cluster):
    ids = cluster.form(managers=1)
    one, two, three = cluster.nodes
    one.set_role(ids[1], "manager")
    one.set_role(ids[2], "manager")
    for node in (two, three):
        wait_until(lambda: node.info()["ControlAvailable"], 20, f"{node.name} is a manager")
    two.label(ids[0], "before", "1")

    leader_of(cluster, cluster.nodes).kill()
    rest = [node for node in cluster.nodes if node.process]
    gone = next(node for node in cluster.nodes if not node.process)
    lost_at = time.monotonic()
    rest[0].label(ids[0], "during", "2")
    print(f"write {time.monotonic() - lost_at:.2f} s after the leader was killed")
    assert time.monotonic() - lost_at < 10
    listed = rest[1].nodes()[ids[cluster.nodes.index(gone)]]
    assert listed["ManagerStatus"]["Reachability"] == "unreachable"

    gone.start()
    wait_until(lambda: gone.info()["ControlAvailable"], 15, "the killed manager is back")
    assert gone.nodes()[ids[0]]["Spec"]["Labels"] == {"before": "1", "during": "2"}
    gone.label(ids[0], "after", "3")
    assert rest[0].nodes()[ids[0]]["Spec"]["Labels"] == {"before": "1", "during": "2", "after": "3"}


@nodes(3)
def test_no_acknowledged_label_is_lost_when_all_managers_are_killed_again_and_again(cluster):
    ids = cluster.form(managers=3)
    acknowledged = {}
    for life in range(3):
        for number in range(10):
            key = f"l{life}-{number}"
            cluster.nodes[number % 3].label(ids[1], key, str(life))
            acknowledged[key] = str(life)
        for node in cluster.nodes:
            node.kill()
        for node in cluster.nodes:
            node.start()
        leader_of(cluster, cluster.nodes)
        for node in cluster.nodes:
            assert node.nodes()[ids[1]]["Spec"]["Labels"] == acknowledged


@nodes(3)
def test_a_manager_that_was_away_for_long_catches_up_from_a_snapshot(cluster):
    for node in cluster.nodes:
        node.flags = ["--snapshot-interval", "20", "--snapshot-trailing", "5"]
    ids = cluster.form(managers=3)
    one, two, three = cluster.nodes
    three.kill()
    for number in range(100):
        one.label(ids[1], f"n{number}", str(number))
    assert list((one.folder / "state" / "raft").glob("snapshot-*"))
    three.start()
    wait_until(lambda: three.info()["ControlAvailable"], 15, "node3 is back")
    expected = {f"n{number}": str(number) for number in range(100)}
    assert wait_until(three.nodes, 15, "node3 answers")[ids[1]]["Spec"]["Labels"] == expected
    for node in cluster.nodes:
        node.kill()
        node.start()
    leader_of(cluster, cluster.nodes)
    for node in cluster.nodes:
        assert node.nodes()[ids[1]]["Spec"]["Labels"] == expected
        assert sum(path.stat().st_size for path in (node.folder / "state" / "raft").iterdir()) < 1 << 20


@nodes(3)
def test_without_a_majority_nothing_is_written_and_the_client_is_told(cluster):
    ids = cluster.form(managers=3)
    one = cluster.nodes[0]
    for node in cluster.nodes[1:]:
        node.kill()

    def refused():
        status, body = one.get("/nodes")
        return status == 500 and "The swarm does not have a leader" in body["message"]
    wait_until(refused, 20, "the lone manager says that there is no leader")
    assert "The swarm does not have a leader" in one.info()["Error"]
    with pytest.raises(SwarmError):
        one.update(ids[0], lambda spec: spec["Labels"].update(lost="1"), attempts=1)
    status, body = one.post("/swarm/leave")
    assert status == 503 and body["message"].startswith("You are attempting to leave the swarm on a node that is")
    cluster.nodes[1].start()
    one.label(ids[0], "found", "1")
    assert one.nodes()[ids[0]]["Spec"]["Labels"] == {"found": "1"}


@nodes(3)
def test_a_node_whose_link_is_cut_is_down_and_ready_again_after(cluster):
    ids = cluster.form(managers=1)
    one, two, _ = cluster.nodes
    wait_until(lambda: state_of(one, ids[1]) == "ready", 10, "node2 is ready")
    cut_at = time.monotonic()
    two.link("down")
    wait_until(lambda: state_of(one, ids[1]) == "down", 25, "node2 is down")
    print(f"down after {time.monotonic() - cut_at:.1f} s")
    assert time.monotonic() - cut_at > 5, "one lost heartbeat is no reason"
    assert state_of(one, ids[2]) == "ready"
    two.link("up")
    healed_at = time.monotonic()
    wait_until(lambda: state_of(one, ids[1]) == "ready", 15, "node2 is ready again")
    print(f"ready {time.monotonic() - healed_at:.1f} s after the link was up")


@nodes(3)
def test_a_leader_that_is_cut_off_gives_way_and_comes_back_as_a_follower(cluster):
    ids = cluster.form(managers=3)
    leader = leader_of(cluster, cluster.nodes)
    rest = [node for node in cluster.nodes if node is not leader]
    leader.link("down")
    cut_at = time.monotonic()
    rest[0].label(ids[0], "side", "majority")
    print(f"write {time.monotonic() - cut_at:.1f} s after the leader was cut off")
    with pytest.raises(SwarmError):
        leader.update(ids[0], lambda spec: spec["Labels"].update(side="minority"), attempts=1)
    leader.link("up")
    assert leader_of(cluster, cluster.nodes) is not leader
    assert leader.nodes()[ids[0]]["Spec"]["Labels"] == {"side": "majority"}


@nodes(3)
def test_a_node_that_left_or_was_removed_is_gone_and_refused(cluster):
    ids = cluster.form(managers=2)
    one, two, three = cluster.nodes
    assert one.delete(f"/nodes/{ids[2]}")[1]["message"].endswith(f"node {ids[2]} is not down and can't be removed")
    assert "must be demoted to worker before removal" in one.delete(f"/nodes/{ids[1]}?force=1")[1]["message"]

    assert three.post("/swarm/leave")[0] == 200
    assert three.info()["LocalNodeState"] == "inactive"
    wait_until(lambda: state_of(one, ids[2]) == "down", 5, "a node that left is down at once")
    assert one.delete(f"/nodes/{ids[2]}")[0] == 200
    assert ids[2] not in one.nodes()
    new_id = three.join(one)
    assert new_id != ids[2]

    # Removed by force while it runs: its certificate is valid, but refused.
    assert one.delete(f"/nodes/{new_id}?force=true")[0] == 200
    time.sleep(6)
    assert new_id not in one.nodes()
    assert "removed from the swarm" in one.log() or "removed from the swarm" in two.log()
    three.end()
    three.start()
    time.sleep(2)
    assert new_id not in one.nodes()

    one.set_role(ids[1], "worker")
    wait_until(lambda: not two.info()["ControlAvailable"], 15, "node2 is a worker")
    assert "ManagerStatus" not in one.nodes()[ids[1]]
    status, body = one.post(f"/nodes/{ids[0]}/update?version={one.get('/nodes/' + ids[0])[1]['Version']['Index']}",
                            {"Role": "worker", "Availability": "active"})
    assert (status, body["message"]) == (400, "rpc error: code = FailedPrecondition desc = attempting to demote the last "
                                              "manager of the swarm")
    refused = one.docker("swarm", "leave", check=False)
    assert "Removing the last manager erases all current state of the swarm." in refused.stderr
    assert one.docker("swarm", "leave", "--force") == "Node left the swarm.\n"
    assert one.info()["LocalNodeState"] == "inactive"
    one.init()
    assert list(one.nodes()) == [one.id]


def killed_in(node, seconds, request):
    """Kills the node that long after the request was sent; gives the request's answer, None if it got none."""
    answers = []

    def send():
        try:
            answers.append(request())
        except (OSError, http.client.HTTPException):
            pass
    sender = threading.Thread(target=send)
    sender.start()
    time.sleep(seconds)
    node.kill()
    sender.join()
    return answers[0] if answers else None


@nodes(2)
def test_a_node_killed_while_it_begins_joins_or_leaves_a_swarm_is_in_it_or_out_of_it(cluster):
    one, two = cluster.nodes
    init = {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": one.address}
    for delay in range(0, 160, 20):
        one.start()
        answer = killed_in(one, delay / 1000, lambda: one.post("/swarm/init", init))
        one.start()
        state = one.info()["LocalNodeState"]
        assert state == "active" or (state == "inactive" and answer is None)
        if state == "active":
            assert list(wait_until(one.nodes, 10, "the new swarm answers")) == [one.id]
            assert one.post("/swarm/leave?force=true")[0] == 200
        one.kill()
    one.start()
    one.init()
    for delay in range(0, 160, 20):
        two.start()
        join = {"ListenAddr": "0.0.0.0:2377", "RemoteAddrs": [f"{one.address}:2377"], "JoinToken": one.tokens()["Worker"]}
        answer = killed_in(two, delay / 1000, lambda: two.post("/swarm/join", join))
        two.start()
        state = two.info()["LocalNodeState"]
        assert state == "active" or (state == "inactive" and answer is None)
        if state == "inactive":
            two.join(one)
        wait_until(lambda: state_of(one, two.id) == "ready", 10, "node2 is ready")
        answer = killed_in(two, delay / 2000, lambda: two.post("/swarm/leave"))
        two.start()
        if two.info()["LocalNodeState"] == "active":
            assert answer is None
            assert two.post("/swarm/leave")[0] == 200
        two.kill()


def certificate_of(node):
    command = ["openssl", "x509", "-in", str(node.folder / "state" / "identity.pem"), "-noout", "-serial", "-subject"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def make_certificate_look_old(node, seconds):
    """Moves the time at which the stopped node's certificate was issued into the past."""
    path = node.folder / "state" / "state"
    message = ["--proto_path", str(ROOT), "lab.swarm.proto.LocalState", "swarm/proto/wire.proto"]

    def protoc(verb, data):
        return subprocess.run(["protoc", message[0], message[1], f"--{verb}={message[2]}", message[3]], input=data,
                              capture_output=True, check=True).stdout
    text = protoc("decode", path.read_bytes()).decode()
    text = re.sub(r"(certificate_issued_at_ns: )(\d+)", lambda m: f"{m[1]}{int(m[2]) - seconds * 10**9}", text)
    path.write_bytes(protoc("encode", text.encode()))


@nodes(3)
def test_certificates_are_renewed_before_they_end(cluster):
    ids = cluster.form(managers=2)
    one = cluster.nodes[0]
    for node, node_id, role in zip(cluster.nodes[1:], ids[1:], ("swarm-manager", "swarm-worker")):
        before = certificate_of(node)
        node.end()
        node.start()
        time.sleep(1)
        assert certificate_of(node) == before, "renewed before its time"
        node.end()
        make_certificate_look_old(node, 1000 * 24 * 3600)
        node.start()
        wait_until(lambda: certificate_of(node) != before, 15, f"{node.name} has a new certificate")
        assert f"CN = {node_id}" in certificate_of(node) and role in certificate_of(node)
        wait_until(lambda: state_of(one, node_id) == "ready", 10, f"{node.name} is ready under it")
    wait_until(lambda: cluster.nodes[1].info()["ControlAvailable"], 10, "node2 is still a manager")
    cluster.nodes[1].label(ids[2], "written", "after")


@nodes(3)
def test_a_demoted_leader_gives_way_and_stays_a_worker(cluster):
    ids = cluster.form(managers=3)
    leader = leader_of(cluster, cluster.nodes)
    leader.set_role(leader.id, "worker")
    wait_until(lambda: not leader.info()["ControlAvailable"], 20, "the leader is a worker")
    rest = [node for node in cluster.nodes if node is not leader]
    rest[0].label(ids[0], "written", "after")
    assert len(leaders(rest[1])) == 1 and leader.id not in leaders(rest[1])
    leader.end()
    leader.start()
    wait_until(lambda: state_of(rest[0], leader.id) == "ready", 15, "the demoted node is ready")
    assert "ManagerStatus" not in rest[0].nodes()[leader.id]
    rest[1].set_role(leader.id, "manager")
    wait_until(lambda: leader.info()["ControlAvailable"], 20, "the node is a manager again")
    assert leader.nodes()[ids[0]]["Spec"]["Labels"] == {"written": "after"}


@nodes(2)
def test_state_survives_restarts_and_secrets_are_private(cluster):
    ids = cluster.form(managers=1)
    one, two = cluster.nodes
    one.label(ids[1], "kept", "yes")
    for node in cluster.nodes:
        assert node.end() == 0, node.log()
        node.start()
    wait_until(lambda: state_of(one, ids[1]) == "ready", 15, "node2 is ready")
    assert one.nodes()[ids[1]]["Spec"]["Labels"] == {"kept": "yes"}
    for node in cluster.nodes:
        for path in (node.folder / "state").rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    for secret in one.tokens().values():
        for node in cluster.nodes:
            assert secret not in node.log()


@nodes(2)
def test_the_port_speaks_tls_1_3_only_and_shows_nothing_without_a_certificate(cluster):
    ids = cluster.form(managers=1)
    one, two = cluster.nodes

    def handshake(node, *arguments):
        command = ["nsenter", f"--net=/run/netns/{one.namespace}", "openssl", "s_client", "-connect", f"{node.address}:2377",
                   *arguments]
        return subprocess.run(command, input="", capture_output=True, text=True, timeout=20).stdout
    assert "Protocol  : TLSv1.3" in handshake(one, "-tls1_3") or "TLSv1.3, Cipher is TLS" in handshake(one, "-tls1_3")
    assert "Cipher is (NONE)" in handshake(one, "-tls1_2")
    assert f"CN = {ids[0]}" in handshake(one, "-tls1_3") and "OU = swarm-manager" in handshake(one, "-tls1_3")
