"""Images of the engine, with the stock docker client, docker-registry and skopeo."""

import base64
import crypt
import json
import os
import pathlib
import shutil
import stat
import subprocess
import threading

import pytest

from image_support import (DockerRegistry, ImageServer, Layout, Namespace, ScriptedRegistry, compressible, digest_of,
                           free_port, layer_tar, wait_until, zstd)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="layers keep their owners, which needs root")


def three_layers(salt="", **options):
    return Layout([layer_tar({"a": None, "a/one": b"1" * 5000, "a/two": b"2"}),
                   layer_tar({"b": None, "b/three": b"3" * 300}, whiteouts=["a/.wh.one"]),
                   layer_tar({"c": None, "c/four": compressible(200_000)}, whiteouts=["b/.wh..wh..opq"])],
                  salt=salt, **options)


def skopeo(*words):
    subprocess.run(["skopeo", *words], check=True, stdout=subprocess.DEVNULL, timeout=60)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    process = DockerRegistry(tmp_path_factory.mktemp("registry") / "r")
    yield process
    process.stop()


@pytest.fixture
def scripted():
    server = ScriptedRegistry()
    yield server
    server.stop()


@pytest.fixture
def server(tmp_path):
    process = ImageServer(tmp_path / "server")
    yield process
    process.stop()


def publish(registry, tmp_path, layout, name):
    folder = tmp_path / name.replace("/", "_").replace(":", "_")
    layout.save(folder)
    skopeo("copy", "-q", "--dest-tls-verify=false", "--preserve-digests", f"dir:{folder}",
           f"docker://{registry.name}/{name}")


def test_pulled_image_is_shown_as_dockerd_shows_it(registry, server, tmp_path):
    layout = three_layers()
    publish(registry, tmp_path, layout, "shown:1")
    name = f"{registry.name}/shown:1"
    output = server.docker("pull", name).stdout
    assert output.startswith("1: Pulling from shown\n")
    assert output.count("Pulling fs layer") == 3 and output.count("Pull complete") == 3
    assert f"Digest: {layout.digest}\nStatus: Downloaded newer image for {name}\n" in output
    assert "Image is up to date" in server.docker("pull", name).stdout
    document = json.loads(server.docker("inspect", name).stdout)[0]
    assert document["Id"] == layout.image_id
    assert document["RepoDigests"] == [f"{registry.name}/shown@{layout.digest}"]
    assert document["RootFS"]["Layers"] == layout.config["rootfs"]["diff_ids"]
    assert document["Config"]["Cmd"] == ["/hello"] and document["Config"]["Labels"] == {"team": "blue"}
    history = server.docker("history", "--format", "{{.CreatedBy}} {{.Size}}", name).stdout.split("\n")
    assert history[:3] == ["layer 2 200kB", "layer 1 300B", "layer 0 5kB"]
    short = layout.image_id[7:19]
    assert server.docker("images", "-q").stdout.strip() == short
    assert server.docker("inspect", "-f", "{{.Id}}", short).stdout.strip() == layout.image_id


def test_layers_hold_what_the_tars_said(registry, server, tmp_path):
    layout = three_layers("content")
    publish(registry, tmp_path, layout, "content:1")
    server.docker("pull", f"{registry.name}/content:1")
    lower = json.loads(server.docker("inspect", f"{registry.name}/content:1").stdout)[0]["GraphDriver"]["Data"]
    top = pathlib.Path(lower["UpperDir"])
    middle, bottom = map(pathlib.Path, lower["LowerDir"].split(":"))
    assert (bottom / "a/one").read_bytes() == b"1" * 5000
    hidden = os.lstat(middle / "a/one")
    assert stat.S_ISCHR(hidden.st_mode) and hidden.st_rdev == 0
    assert os.getxattr(top / "b", "trusted.overlay.opaque") == b"y"
    assert (top / "c/four").stat().st_mtime == 1_600_000_000


@pytest.mark.parametrize("style", ["oci", "v2s2"])
def test_push_of_a_pulled_image_keeps_its_digest_and_skopeo_reads_it(registry, server, tmp_path, style):
    layout = three_layers("push " + style, docker=style == "v2s2")
    publish(registry, tmp_path, layout, f"push-{style}:1")
    server.docker("pull", f"{registry.name}/push-{style}:1")
    target = f"{registry.name}/elsewhere/{style}:2"
    server.docker("tag", f"{registry.name}/push-{style}:1", target)
    output = server.docker("push", target).stdout
    assert output.count(f"Mounted from push-{style}") == 3
    assert f"2: digest: {layout.digest} size: {len(layout.manifest)}" in output
    assert server.docker("push", target).stdout.count("Layer already exists") == 3
    skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{target}", f"dir:{tmp_path}/copy")
    assert digest_of((tmp_path / "copy/manifest.json").read_bytes()) == layout.digest


def test_push_to_an_empty_registry_uploads_every_blob(registry, server, tmp_path):
    layout = three_layers("upload")
    publish(registry, tmp_path, layout, "upload:1")
    server.docker("pull", f"{registry.name}/upload:1")
    other = DockerRegistry(tmp_path / "other")
    try:
        server.docker("tag", f"{registry.name}/upload:1", f"{other.name}/fresh:1")
        assert server.docker("push", f"{other.name}/fresh:1").stdout.count("Pushed") == 3
        second = ImageServer(tmp_path / "second")
        try:
            assert layout.digest in second.docker("pull", f"{other.name}/fresh:1").stdout
        finally:
            second.stop()
    finally:
        other.stop()


@pytest.mark.parametrize("compress", [zstd, lambda data: data], ids=["zstd", "plain"])
def test_layers_of_other_compressions_are_unpacked(scripted, server, compress):
    layout = Layout([layer_tar({"f": compressible(100_000)})], compress=compress)
    scripted.add("packed", "1", layout)
    server.docker("pull", f"{scripted.name}/packed:1")
    assert (server.layers()[0] / "f").read_bytes() == compressible(100_000)


def test_manifest_list_gives_the_image_of_this_machine(scripted, server):
    layout = three_layers("listed")
    scripted.add("listed", "x", layout)
    wrong = {"mediaType": layout.media_type, "digest": "sha256:" + "0" * 64, "size": 1,
             "platform": {"os": "linux", "architecture": "arm64"}}
    right = {"mediaType": layout.media_type, "digest": layout.digest, "size": len(layout.manifest),
             "platform": {"os": "linux", "architecture": "amd64"}}
    media_type = "application/vnd.oci.image.index.v1+json"
    index = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": [wrong, right]}).encode()
    scripted.images["listed", "1"] = (index, media_type)
    assert f"Digest: {digest_of(index)}" in server.docker("pull", f"{scripted.name}/listed:1").stdout
    scripted.images["listed", "2"] = (json.dumps({"schemaVersion": 2, "manifests": [wrong]}).encode(), media_type)
    failed = server.docker("pull", f"{scripted.name}/listed:2", check=False)
    assert "no matching manifest for linux/amd64 in the manifest list entries" in failed.stderr


def test_pull_by_digest_has_no_tag(scripted, server):
    layout = three_layers("digest")
    scripted.add("by", "1", layout)
    server.docker("pull", f"{scripted.name}/by@{layout.digest}")
    document = json.loads(server.docker("inspect", layout.image_id).stdout)[0]
    assert document["RepoTags"] == [] and document["RepoDigests"] == [f"{scripted.name}/by@{layout.digest}"]


def test_cut_download_goes_on_where_it_stopped(scripted, server):
    layout = Layout([layer_tar({"big": os.urandom(3_000_000)})])
    scripted.add("cut", "1", layout)
    blob = layout.layers[0]["digest"]
    scripted.cut_after[blob] = 1_000_000
    server.docker("pull", f"{scripted.name}/cut:1")
    ranges = [headers.get("Range") for _, path, headers in scripted.requests if path.endswith(blob)]
    assert len(ranges) == 2 and ranges[0] is None
    assert 0 < int(ranges[1].removeprefix("bytes=").rstrip("-")) <= 1_000_000


def test_wrong_content_is_refused_and_leaves_nothing(scripted, server):
    layout = three_layers("tampered")
    scripted.add("bad", "1", layout)
    blob = layout.layers[1]["digest"]
    data = bytearray(layout.blobs[blob])
    data[-5] ^= 1
    scripted.replace[blob] = bytes(data)
    failed = server.docker("pull", f"{scripted.name}/bad:1", check=False)
    assert failed.returncode == 1
    assert server.docker("images", "-q").stdout == ""
    assert server.layers() == []
    assert list((server.folder / "data/image/tmp").iterdir()) == []
    assert list((server.folder / "data/image/blobs/sha256").iterdir()) == []


@pytest.mark.parametrize("files", [
    {"../escaped": b"x"}, {"l": ("link", "/"), "l/../../escaped": b"x"}, {"h": ("hard", "../../escaped")},
], ids=["dotdot", "link", "hardlink"])
def test_layer_cannot_write_outside_its_folder(scripted, server, files):
    scripted.add("evil", "1", Layout([layer_tar(files)]))
    failed = server.docker("pull", f"{scripted.name}/evil:1", check=False)
    assert failed.returncode == 1
    assert not list(server.folder.rglob("escaped"))
    assert server.layers() == []


def test_bearer_token_is_fetched_with_the_clients_credentials(scripted, server):
    layout = three_layers("token")
    scripted.add("private/app", "1", layout)
    scripted.token, scripted.credentials = "t0ken", ("me", "secret")
    failed = server.docker("pull", f"{scripted.name}/private/app:1", check=False)
    assert "unauthorized: incorrect username or password" in failed.stderr
    status, _ = server.request("POST", f"/images/create?fromImage={scripted.name}/private/app&tag=1",
                               headers=auth_header("secret"))
    assert status == 200
    tokens = [path for _, path, _ in scripted.requests if path.startswith("/token")]
    assert "scope=repository%3Aprivate%2Fapp%3Apull" in tokens[-1] and "service=scripted" in tokens[-1]
    assert server.docker("images", "-q").stdout.strip() == layout.image_id[7:19]


def test_token_does_not_follow_a_redirect_to_another_host(scripted, server):
    layout = three_layers("redirect")
    scripted.add("moved", "1", layout)
    scripted.token = "t0ken"
    storage = ScriptedRegistry()
    try:
        storage.blobs = layout.blobs
        scripted.redirect_to = storage
        server.docker("pull", f"{scripted.name}/moved:1")
        assert storage.requests and all("Authorization" not in headers for _, _, headers in storage.requests)
    finally:
        storage.stop()


def auth_header(password):
    return {"X-Registry-Auth": base64.urlsafe_b64encode(
        json.dumps({"username": "me", "password": password}).encode()).decode()}


def test_basic_authentication_and_login(registry, server, tmp_path):
    hashed = crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))
    private = DockerRegistry(tmp_path / "private", htpasswd=f"me:{hashed}\n")
    name = private.name
    try:
        assert server.request("POST", f"/images/create?fromImage={name}/app&tag=1") == (
            500, {"message": f'Head "http://{name}/v2/app/manifests/1": no basic auth credentials'})
        assert server.request("POST", f"/images/create?fromImage={name}/app&tag=1", headers=auth_header("bad")) == (
            500, {"message": "unauthorized: authentication required"})
        wrong = server.docker("login", "-u", "me", "-p", "bad", name, check=False)
        assert wrong.returncode == 1
        assert f"login attempt to http://{name}/v2/ failed with status: 401 Unauthorized" in wrong.stderr
        assert "Login Succeeded" in server.docker("login", "-u", "me", "-p", "secret", name).stdout
        publish(registry, tmp_path, three_layers("basic"), "basic:1")
        server.docker("pull", f"{registry.name}/basic:1")
        server.docker("tag", f"{registry.name}/basic:1", f"{name}/app:1")
        assert server.docker("push", f"{name}/app:1").stdout.count("Pushed") == 3
        assert "up to date" in server.docker("pull", f"{name}/app:1").stdout
        server.docker("logout", name)
        assert "no basic auth credentials" in server.docker("push", f"{name}/app:1", check=False).stderr
    finally:
        private.stop()


def make_certificate(folder, address):
    folder.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", folder / "key.pem", "-out", folder / "ca.crt", "-days", "2", "-subj", "/CN=test",
                    "-addext", f"subjectAltName=IP:{address}"], check=True, stderr=subprocess.DEVNULL)
    return folder / "ca.crt", folder / "key.pem"


@pytest.fixture
def network():
    namespace = Namespace("192.168.77.4")
    yield namespace
    namespace.stop()


def test_registry_with_tls_needs_its_authority_in_certs_d(network, registry, tmp_path):
    certificate, key = make_certificate(tmp_path / "pki", network.address)
    secure = DockerRegistry(tmp_path / "tls", (certificate, key), address=network.address, namespace=network.name)
    certs = tmp_path / "certs.d"
    data = tmp_path / "server"
    layout = three_layers("tls")
    publish(registry, tmp_path, layout, "tls:1")
    outside = ImageServer(data)
    outside.docker("pull", f"{registry.name}/tls:1")
    outside.stop()
    server = ImageServer(data, "--certs", certs, namespace=network.name)
    try:
        name = f"{secure.name}/secure:1"
        server.docker("tag", f"{registry.name}/tls:1", name)
        refused = f'Get "https://{secure.name}/v2/": x509: certificate signed by unknown authority'
        assert refused in server.docker("push", name, check=False).stderr
        assert refused in server.docker("pull", name, check=False).stderr
        (certs / secure.name).mkdir(parents=True)
        shutil.copy(certificate, certs / secure.name / "ca.crt")
        assert server.docker("push", name).stdout.count("Pushed") == 3
        server.docker("image", "prune", "-af")
        assert layout.digest in server.docker("pull", name).stdout
        plain = DockerRegistry(tmp_path / "plain", address=network.address, namespace=network.name)
        failed = server.docker("pull", f"{plain.name}/x:1", check=False).stderr
        plain.stop()
        assert failed == (f'Error response from daemon: Get "https://{plain.name}/v2/": http: server gave HTTP '
                          "response to HTTPS client\n")
    finally:
        server.stop()
        secure.stop()


def test_mirror_serves_the_hubs_names(scripted, tmp_path):
    layout = three_layers("mirrored")
    scripted.add("library/busybox", "latest", layout)
    server = ImageServer(tmp_path / "server", "--mirror", f"http://{scripted.name}")
    try:
        output = server.docker("pull", "busybox").stdout
        assert "latest: Pulling from library/busybox" in output
        assert "Status: Downloaded newer image for busybox:latest" in output
        assert server.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout == "busybox:latest\n"
    finally:
        server.stop()


def test_errors_have_dockerds_words(registry, server, tmp_path):
    publish(registry, tmp_path, three_layers("errors"), "errors:1")
    name = registry.name
    failed = server.docker("pull", f"{name}/errors:9", check=False)
    assert failed.stderr == (f"Error response from daemon: manifest for {name}/errors:9 not found: "
                             "manifest unknown: manifest unknown\n")
    closed = free_port()
    failed = server.docker("pull", f"127.0.0.1:{closed}/x:1", check=False)
    assert failed.stderr == (f'Error response from daemon: Get "http://127.0.0.1:{closed}/v2/": dial tcp '
                             f"127.0.0.1:{closed}: connect: connection refused\n")
    assert server.request("GET", "/images/nothere/json") == (
        404, {"message": "no such image: nothere: No such image: nothere:latest"})
    assert server.request("POST", "/images/create?fromImage=Upper&tag=1") == (
        400, {"message": "invalid reference format: repository name must be lowercase"})
    assert server.request("DELETE", "/images/nothere") == (404, {"message": "No such image: nothere:latest"})
    assert server.request("POST", "/images/nothere/tag?repo=x&tag=1") == (
        404, {"message": "No such image: nothere:latest"})
    assert server.request("POST", f"/images/{name}/x/push?tag=1") == (
        400, {"message": "Bad parameters and missing X-Registry-Auth: EOF"})
    assert server.request("GET", "/images/json?filters=%7B%22bad%22%3A%5B%22x%22%5D%7D") == (
        400, {"message": "Invalid filter 'bad'"})
    failed = server.docker("push", f"{name}/none:1", check=False)
    assert failed.stderr == f"An image does not exist locally with the tag: {name}/none\n"


def test_images_are_filtered_tagged_and_removed(registry, server, tmp_path):
    layout = three_layers("rm")
    publish(registry, tmp_path, layout, "rm:1")
    name = f"{registry.name}/rm:1"
    server.docker("pull", name)
    server.docker("tag", name, "mine:v1")
    listed = server.docker("images", "--filter", "reference=mine*", "--format", "{{.Repository}}").stdout
    assert listed == "mine\n"
    assert server.docker("images", "-q", "--filter", "label=team=blue").stdout.count("\n") == 2
    assert server.docker("images", "-q", "--filter", "label=team=red").stdout == ""
    assert server.docker("images", "-q", "--filter", "dangling=true").stdout == ""
    failed = server.docker("rmi", layout.image_id[7:19], check=False)
    assert "(must be forced) - image is referenced in multiple repositories" in failed.stderr
    assert server.docker("rmi", "mine:v1").stdout == "Untagged: mine:v1\n"
    lines = server.docker("rmi", name).stdout.splitlines()
    assert lines[:3] == [f"Untagged: {name}", f"Untagged: {registry.name}/rm@{layout.digest}",
                         f"Deleted: {layout.image_id}"]
    assert len(lines) == 6 and server.layers() == []


def test_prune_removes_dangling_images_only(scripted, server):
    first, second = three_layers("old"), three_layers("new")
    scripted.add("moving", "1", first)
    server.docker("pull", f"{scripted.name}/moving:1")
    scripted.add("moving", "1", second)
    server.docker("pull", f"{scripted.name}/moving:1")
    assert "deleted" not in server.docker("image", "prune", "-f", "--filter", "until=2023-12-31").stdout
    output = server.docker("image", "prune", "-f", "--filter", "until=24h").stdout
    assert f"deleted: {first.image_id}" in output
    assert server.docker("images", "-q").stdout.strip() == second.image_id[7:19]


def test_distribution_tells_of_an_image_without_pulling(registry, server, tmp_path):
    layout = three_layers("dist")
    publish(registry, tmp_path, layout, "dist:1")
    status, answer = server.request("GET", f"/distribution/{registry.name}/dist:1/json")
    assert status == 200
    assert answer["Descriptor"] == {"mediaType": layout.media_type, "digest": layout.digest,
                                    "size": len(layout.manifest)}
    assert server.docker("images", "-q").stdout == ""


def test_saved_image_is_loaded_elsewhere_and_read_by_skopeo(registry, server, tmp_path):
    layout = three_layers("saved")
    publish(registry, tmp_path, layout, "saved:1")
    name = f"{registry.name}/saved:1"
    server.docker("pull", name)
    archive = tmp_path / "saved.tar"
    server.docker("save", "-o", archive, name)
    skopeo("copy", "-q", f"docker-archive:{archive}", f"dir:{tmp_path}/read")
    second = ImageServer(tmp_path / "second")
    try:
        assert second.docker("load", "-q", "-i", archive).stdout == f"Loaded image: {name}\n"
        document = json.loads(second.docker("inspect", name).stdout)[0]
        assert document["Id"] == layout.image_id
        assert [len(list(layer.rglob("*"))) for layer in second.layers()] == [3, 4, 3]
        second.docker("tag", name, f"{registry.name}/again:1")
        assert second.docker("push", f"{registry.name}/again:1").stdout.count("Pushed") == 3
        server.docker("pull", f"{registry.name}/again:1")
        assert server.docker("images", "-q").stdout.split() == [layout.image_id[7:19]] * 2
    finally:
        second.stop()
    assert server.request("GET", "/images/nothere/get") == (404, {"message": "No such image: nothere"})
    assert server.docker("save", "nothere", "-o", archive, check=False).returncode == 1
    (tmp_path / "junk.tar").write_bytes(layer_tar({"x": b"1"}))
    failed = server.docker("load", "-q", "-i", tmp_path / "junk.tar", check=False)
    assert "no manifest.json" in failed.stderr and list((server.folder / "data/image/tmp").iterdir()) == []


def test_pull_of_all_tags_brings_each(scripted, server):
    for tag in ("1", "2", "3"):
        scripted.add("many", tag, three_layers("many " + tag))
    output = server.docker("pull", "-a", f"{scripted.name}/many").stdout
    assert output.count("Digest: ") == 3
    assert f"Status: Downloaded newer image for {scripted.name}/many\n" in output
    assert len(server.docker("images", "-q", f"{scripted.name}/many").stdout.split()) == 3


def test_pull_stops_when_its_client_goes(scripted, server):
    layout = Layout([layer_tar({"slow": os.urandom(2_000_000)})])
    scripted.add("slow", "1", layout)
    scripted.trickle.add(layout.layers[0]["digest"])
    with pytest.raises(subprocess.TimeoutExpired):
        server.docker("pull", f"{scripted.name}/slow:1", timeout=1.5)
    temporary = server.folder / "data/image/tmp"
    wait_until(lambda: not list(temporary.iterdir()), 5, "end of the pull")
    assert server.layers() == [] and server.docker("images", "-q").stdout == ""
    scripted.trickle.clear()
    server.docker("pull", f"{scripted.name}/slow:1")


def test_two_pulls_at_once_fetch_each_layer_once(scripted, server):
    layout = three_layers("twice")
    scripted.add("twice", "1", layout)
    pulls = [threading.Thread(target=server.docker, args=("pull", f"{scripted.name}/twice:1")) for _ in range(4)]
    for pull in pulls:
        pull.start()
    for pull in pulls:
        pull.join()
    assert len(server.layers()) == 3
    for layer in layout.layers:
        assert sum(path.endswith(layer["digest"]) for _, path, _ in scripted.requests) == 1


def test_images_survive_kill_at_any_instant(scripted, tmp_path):
    layouts = [Layout([layer_tar({f"f{i}-{n}": compressible(400_000, i * 10 + n) for n in range(4)})
                       for i in range(k, k + 3)], salt=str(k)) for k in range(6)]
    for k, layout in enumerate(layouts):
        scripted.add("crash", str(k), layout)
    server = ImageServer(tmp_path / "server")
    acknowledged = set()
    try:
        for k in range(len(layouts)):
            pull = threading.Thread(target=server.docker, args=("pull", f"{scripted.name}/crash:{k}"),
                                    kwargs={"check": False})
            pull.start()
            pull.join(0.02 + 0.15 * k)
            server.stop(kill=True)
            pull.join()
            server = ImageServer(tmp_path / "server")
            images = set(server.docker("images", "-q", "--no-trunc").stdout.split())
            assert acknowledged <= images
            for image in images:
                document = json.loads(server.docker("inspect", image).stdout)[0]
                for folder in [document["GraphDriver"]["Data"]["UpperDir"],
                               *document["GraphDriver"]["Data"].get("LowerDir", "").split(":")]:
                    assert len(list(pathlib.Path(folder).iterdir())) == 4
            assert list((server.folder / "data/image/tmp").iterdir()) == []
            acknowledged = images
        server.docker("pull", f"{scripted.name}/crash:0")
    finally:
        server.stop()
