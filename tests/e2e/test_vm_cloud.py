"""A lab on a cloud image: downloaded, its checksum compared, booted by its own loader, told who it is by cloud-init."""

import functools
import hashlib
import http.server
import os
import pathlib
import re
import shutil
import threading

import pytest

import cloud_image
from lab_command import UP_SECONDS_MAX, Lab

LABFILE = """
name = "cloud"

[image]
cloud = "{url}"
sha256 = "{sha256}"

[network]
subnet = "192.168.50.0/24"

[machines.vm1]
address = "192.168.50.4"
role = "manager"
labels = {{ zone = "dmz" }}

[swarm]
leader = "vm1"
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """URL and checksum of an image on a server of this machine, and the server's folder."""
    if not shutil.which("grub-mkimage") or not pathlib.Path(cloud_image.GRUB).exists():
        pytest.skip("grub-pc-bin is not installed")
    folder = tmp_path_factory.mktemp("images")
    cloud_image.build(folder / "debian.qcow2", tmp_path_factory.mktemp("work"))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    digest = hashlib.sha256((folder / "debian.qcow2").read_bytes()).hexdigest()
    yield f"http://127.0.0.1:{server.server_port}/debian.qcow2", digest
    server.shutdown()
    thread.join()


@pytest.fixture
def lab(tmp_path, image, monkeypatch):
    # Cloud images are kept by checksum: this one's go with the test, while the catalogue is that of the user.
    cache = pathlib.Path(os.environ.get("LAB_CACHE", pathlib.Path.home() / ".cache/lab"))
    (cache / "catalogue").mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/catalogue").symlink_to(cache / "catalogue")
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    made = Lab(tmp_path, LABFILE.format(url=image[0], sha256=image[1]))
    yield made
    made.run("destroy", "-y")


def test_a_cloud_image_becomes_a_node_of_the_swarm(lab):
    lab.run("up", timeout=UP_SECONDS_MAX)
    assert lab.on("vm1", "hostname") == "vm1\n"
    assert re.search(r"inet 192\.168\.50\.4/24", lab.on("vm1", "ip", "-4", "addr", "show", "lab0"))
    nodes = lab.on("vm1", "curl", "-s", "--unix-socket", "/var/run/docker.sock", "http://localhost/nodes")
    assert '"State":"ready"' in nodes and '"zone":"dmz"' in nodes
    again = lab.run("up")
    assert "cloud is up to date" in again.stdout + again.stderr


def test_another_checksum_is_refused_and_nothing_is_kept(lab, image, tmp_path):
    lab.write_labfile(LABFILE.format(url=image[0], sha256="0" * 64))
    refused = lab.run("up", check=False)
    assert refused.returncode != 0
    assert f"not {'0' * 64} as the labfile says" in refused.stderr
    assert not list((tmp_path / "cache").rglob("*.qcow2"))
