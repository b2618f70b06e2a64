"""SIGHUP to engined: the configuration it takes over while it runs, and what it does when it finds itself on another
machine than before."""
import json
import signal
import time

import pytest

from engine_host import REGISTRY_PORT, EngineHost, wait_for


@pytest.fixture(scope="module")
def host():
    made = EngineHost("lab-reload")
    yield made
    made.close()


def info(host):
    return host.api("GET", "/info")[1]


def reload(host, text):
    (host.folder / "daemon.json").write_text(text)
    host.engine.send_signal(signal.SIGHUP)


def networks(host):
    return {network["Name"]: network["Id"] for network in host.api("GET", "/networks")[1]}


def bridge_address(host):
    return json.loads(host.run("ip", "-j", "link", "show", "docker0").stdout)[0]["address"]


def test_takes_over_mirrors_labels_and_insecure_registries(host):
    before = info(host)
    reload(host, json.dumps({"registry-mirrors": ["http://127.0.0.1:9/"], "labels": ["zone=lan"],
                             "insecure-registries": ["127.0.0.9:5000"]}))
    wait_for("the new label", lambda: info(host)["Labels"] == ["zone=lan"])
    now = info(host)
    assert now["RegistryConfig"]["Mirrors"] == ["http://127.0.0.1:9/"]
    assert "127.0.0.9:5000" in now["RegistryConfig"]["IndexConfigs"]
    assert now["ID"] == before["ID"]


def test_says_so_in_events(host):
    said = host.curl(f"/events?since=0&until={time.time()}&filters=%7B%22type%22%3A%5B%22daemon%22%5D%7D")
    assert '"Action":"reload"' in said


@pytest.mark.parametrize("text", ["{", "[]", '{"registry-mirrors": 7}', '{"nonsense": true}'])
def test_keeps_what_it_has_when_the_file_is_bad(host, text):
    before = info(host)["RegistryConfig"]
    logged = host.log.stat().st_size
    reload(host, text)
    wait_for("the error", lambda: "daemon.json: " in host.log.read_text()[logged:])
    assert info(host)["RegistryConfig"] == before


def test_has_an_identity_of_its_own_on_another_machine(host):
    before, ids, address = info(host)["ID"], networks(host), bridge_address(host)
    other = host.folder / "machine-id"
    other.write_text("0123456789abcdef0123456789abcdef\n")
    host.run("mount", "--bind", other, "/etc/machine-id")
    reload(host, json.dumps({"registry-mirrors": [f"http://127.0.0.1:{REGISTRY_PORT}"]}))
    wait_for("another id", lambda: info(host)["ID"] != before)
    wait_for("another bridge", lambda: networks(host)["bridge"] != ids["bridge"])
    assert set(networks(host)) == set(ids) and not set(networks(host).values()) & set(ids.values())
    wait_for("another address", lambda: bridge_address(host) != address)
    assert host.docker("run", "--rm", "busybox", "ip", "-4", "addr", "show", "eth0").stdout.count("172.17.") > 0
    host.stop()
    moved = networks_and_id_after_a_start(host)
    assert moved == networks_and_id_after_a_start(host)


def networks_and_id_after_a_start(host):
    if host.engine.poll() is None:
        host.stop()
    host.start()
    return networks(host), info(host)["ID"]
