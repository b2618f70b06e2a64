"""Images of containers and archives, and what lies on the disk, with the stock client against engined on this host."""
import io
import json
import os
import subprocess
import tarfile
import threading

import pytest
from engine_host import wait_for


def changes(engine, name):
    return set(engine.out("diff", name).splitlines())


def test_commit_keeps_files_and_takes_author_comment_and_changes(clean):
    clean.docker("run", "--name", "c1", "-e", "OLD=1", "busybox", "sh", "-c", "echo kept > /kept; rm /bin/vi")
    identity = clean.out("commit", "-a", "me <me@example.com>", "-m", "a message", "-c", "ENV NEW=2", "-c",
                         'CMD ["cat", "/kept"]', "-c", "EXPOSE 80", "c1", "fortune-clock:1.0")
    assert identity.startswith("sha256:")
    assert clean.out("run", "--rm", "fortune-clock:1.0") == "kept"
    assert clean.docker("run", "--rm", "fortune-clock:1.0", "ls", "/bin/vi", check=False).returncode == 1
    image = clean.inspect("fortune-clock:1.0")
    assert image["Author"] == "me <me@example.com>" and image["Comment"] == "a message"
    assert image["Config"]["Env"] == ["OLD=1", "PATH=/bin", "NEW=2"]
    assert image["Config"]["ExposedPorts"] == {"80/tcp": {}}
    layers = clean.inspect("busybox")["RootFS"]["Layers"]
    assert image["RootFS"]["Layers"][:-1] == layers
    assert "a message" in clean.out("history", "fortune-clock:1.0").splitlines()[1]
    # A commit on top shares every layer, and only the new one takes space.
    clean.docker("run", "--name", "c2", "fortune-clock:1.0", "sh", "-c", "echo two > /two")
    clean.docker("commit", "c2", "fortune-clock:2.0")
    second = clean.inspect("fortune-clock:2.0")
    assert second["RootFS"]["Layers"][:-1] == image["RootFS"]["Layers"]
    assert second["Size"] == image["Size"] + len("two\n")


def test_a_running_container_is_paused_for_its_commit_and_runs_on(clean):
    clean.docker("run", "-d", "--name", "c1", "busybox", "sh", "-c", "echo x > /x; sleep 100")
    wait_for("the file", lambda: "A /x" in changes(clean, "c1"))
    clean.docker("commit", "c1", "live")
    assert clean.inspect("c1")["State"]["Status"] == "running"
    assert clean.out("run", "--rm", "live", "cat", "/x") == "x"


@pytest.mark.parametrize("change, message", [
    ("RUN x", "run is not a valid change command"), ("FOO x", "foo is not a valid change command"),
    ("EXPOSE 99999", "Invalid containerPort: 99999")])
def test_bad_changes_are_refused(clean, change, message):
    clean.docker("create", "--name", "c1", "busybox")
    assert message in clean.docker("commit", "-c", change, "c1", check=False).stderr


def test_diff_shows_what_was_added_changed_and_deleted(clean):
    script = ("echo a > /a; rm /bin/vi; mkdir /root/x; chmod 700 /tmp; rm -r /var/www; mkdir /var/www; echo z > /var/www/z;"
              "touch -r /etc/passwd /ref; cat /etc/group > /dev/null; echo more >> /etc/group")
    clean.docker("run", "--name", "c1", "-v", "/volume", "busybox", "sh", "-c", script)
    assert changes(clean, "c1") == {
        "A /a", "C /bin", "D /bin/vi", "C /root", "A /root/x", "C /tmp", "C /var", "C /var/www", "A /var/www/z",
        "D /var/www/index.html", "A /ref", "C /etc", "C /etc/group", "A /volume"}
    clean.docker("create", "--name", "c2", "busybox")
    assert changes(clean, "c2") == set()
    clean.docker("run", "--name", "c3", "busybox", "true")
    assert changes(clean, "c3") == set()
    assert "No such container: nosuch" in clean.docker("diff", "nosuch", check=False).stderr
    wait_for("the end of every mount", lambda: clean.mounts() == [])


def test_export_and_import_carry_the_files(clean, tmp_path):
    clean.docker("run", "--name", "c1", "busybox", "sh", "-c", "echo exported > /new; chown 33 /new; rm /bin/vi")
    clean.docker("export", "-o", tmp_path / "files.tar", "c1")
    with tarfile.open(tmp_path / "files.tar") as tar:
        names = tar.getnames()
        assert tar.getmember("new").uid == 33 and "bin/vi" not in names and ".dockerenv" in names
    identity = clean.out("import", "-m", "by hand", "-c", 'CMD ["cat", "/new"]', tmp_path / "files.tar", "flat:1")
    assert clean.out("run", "--rm", "flat:1") == "exported"
    image = clean.inspect(identity)
    assert image["Comment"] == "by hand" and len(image["RootFS"]["Layers"]) == 1 and image["Parent"] == ""
    assert image["RepoTags"] == ["flat:1"]
    with open(tmp_path / "files.tar", "rb") as archive:
        packed = subprocess.run(["gzip", "-1"], stdin=archive, stdout=subprocess.PIPE, check=True).stdout
    (tmp_path / "files.tar.gz").write_bytes(packed)
    again = clean.out("import", tmp_path / "files.tar.gz")
    assert clean.inspect(again)["RootFS"] == image["RootFS"]
    assert "Imported from -" in clean.out("history", again)
    # A container that runs is exported as it is.
    clean.docker("run", "-d", "--name", "c2", "busybox", "sleep", "100")
    clean.docker("export", "-o", tmp_path / "running.tar", "c2")
    assert clean.inspect("c2")["State"]["Running"]
    (tmp_path / "bad.tar").write_bytes(b"x" * 3000)
    assert clean.docker("import", tmp_path / "bad.tar", check=False).returncode == 1


def test_hostile_archives_are_imported_into_their_layer_only(clean, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(link)
        data = tarfile.TarInfo("out/victim")
        data.size = 5
        tar.addfile(data, io.BytesIO(b"wrong"))
    (tmp_path / "evil.tar").write_bytes(out.getvalue())
    clean.docker("import", tmp_path / "evil.tar", check=False)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        data = tarfile.TarInfo("../victim")
        data.size = 5
        tar.addfile(data, io.BytesIO(b"wrong"))
    (tmp_path / "evil.tar").write_bytes(out.getvalue())
    assert clean.docker("import", tmp_path / "evil.tar", check=False).returncode == 1
    assert victim.read_text() == "untouched"


def test_disk_usage_counts_shared_layers_once(clean):
    before = clean.api("GET", "/system/df")[1]["LayersSize"]
    clean.docker("run", "--name", "c1", "-v", "data:/d", "busybox", "sh", "-c", "echo 12345 > /five; echo 123 > /d/x")
    clean.docker("commit", "c1", "bigger")
    status, usage = clean.api("GET", "/system/df")
    assert status == 200
    images = {(line["RepoTags"] or ["none"])[0]: line for line in usage["Images"]}
    base = images["busybox:latest"]
    assert base["SharedSize"] == base["Size"] and base["Containers"] == 1
    assert images["bigger:latest"]["Size"] - images["bigger:latest"]["SharedSize"] == 6
    assert usage["LayersSize"] == before + 6
    assert [line["SizeRw"] for line in usage["Containers"]] == [6]
    volume = [line for line in usage["Volumes"] if line["Name"] == "data"][0]
    assert volume["UsageData"] == {"RefCount": 1, "Size": 4}
    assert "busybox" in clean.out("system", "df", "-v")
    clean.docker("rm", "c1")
    clean.docker("rmi", "bigger")
    clean.docker("volume", "rm", "data")


def test_prune_takes_what_nothing_needs(clean):
    clean.docker("run", "--name", "c1", "-v", "unused:/d", "busybox", "sh", "-c", "echo x > /x")
    clean.docker("commit", "c1")
    assert "Total reclaimed space: 2B" in clean.out("container", "prune", "-f")
    assert "deleted: sha256:" in clean.out("image", "prune", "-f")
    assert "unused" in clean.out("volume", "prune", "-f")
    assert clean.out("builder", "prune", "-f") == "Total reclaimed space: 0B"
    assert clean.out("image", "prune", "-f") == "Total reclaimed space: 0B"
    assert "busybox" in clean.out("images")


def test_removing_the_name_of_an_image_that_others_stand_on_only_untags_it(clean):
    clean.docker("run", "--name", "c1", "busybox", "sh", "-c", "echo x > /x")
    clean.docker("tag", "busybox", "base:1")
    clean.docker("commit", "c1", "child")
    clean.docker("rm", "c1")
    assert clean.out("rmi", "base:1") == "Untagged: base:1"
    clean.docker("rmi", "child")


def test_events_tell_of_images(clean, tmp_path):
    clean.docker("tag", "busybox", "events:1")
    clean.docker("save", "-o", tmp_path / "x.tar", "events:1")
    clean.docker("rmi", "events:1")
    past = ("events", "--since", "0", "--until", "0s", "--filter", "type=image")  # in whole seconds
    wait_for("the events", lambda: "name=events:1" in clean.out(*past) and " image save" in clean.out(*past))
    listed = clean.out(*past)
    assert " image save sha256:" in listed and " image untag sha256:" in listed and " container " not in listed
    listed = clean.out(*past, "--filter", "event=tag", "--format", "{{.Action}} {{index .Actor.Attributes \"name\"}}")
    assert "tag events:1" in listed.splitlines() and "save" not in listed
    # And live.
    seen = []
    process = subprocess.Popen([clean.client, "events", "--filter", "type=image"], stdout=subprocess.PIPE, text=True,
                               env=dict(os.environ, DOCKER_HOST=f"unix://{clean.socket}"))
    reader = threading.Thread(target=lambda: seen.append(process.stdout.readline()))
    reader.start()

    def seen_something():
        clean.docker("tag", "busybox", "events:2")
        reader.join(0.2)
        return seen

    try:
        wait_for("an event", seen_something)
        assert "image tag" in seen[0]
    finally:
        process.kill()
        process.wait()
        reader.join()
    clean.docker("rmi", "events:2")


def test_search_asks_the_index_and_says_what_is_wrong_as_dockerd_does(clean):
    done = clean.docker("search", "127.0.0.1:5555/foo", check=False)
    assert "Unexpected status code 404" in done.stderr
    assert 'Get "https://index.docker.io/v1/search?q=foo&n=25": dial tcp: lookup index.docker.io: ' in \
        clean.docker("search", "foo", check=False).stderr
    assert "Limit 101 is outside the range of [1, 100]" in clean.docker("search", "--limit", "101", "x", check=False).stderr
    code = """
import http.server, json, sys
class Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        results = [{"name": "one", "description": self.path, "star_count": 5, "is_official": True, "is_automated": False},
                   {"name": "two", "description": "", "star_count": 1, "is_official": False, "is_automated": False}]
        body = json.dumps({"num_results": 2, "results": results}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", 8098), Index).serve_forever()
"""
    index = clean.popen("/usr/bin/python3", "-c", code)
    try:
        wait_for("the index", lambda: clean.run("curl", "-s", "http://127.0.0.1:8098/", check=False).stdout)
        out = clean.out("search", "--no-trunc", "--format", "{{.Name}} {{.StarCount}} {{.Description}}", "127.0.0.1:8098/foo")
        assert out.splitlines() == ["one 5 /v1/search?q=foo&n=25", "two 1"]
        assert clean.out("search", "--filter", "stars=3", "--format", "{{.Name}}", "127.0.0.1:8098/foo") == "one"
        assert clean.out("search", "--filter", "is-official=false", "--format", "{{.Name}}", "127.0.0.1:8098/foo") == "two"
    finally:
        index.kill()
        index.wait()


def test_the_python_sdk_builds_and_commits(clean):
    docker = pytest.importorskip("docker")
    client = docker.DockerClient(base_url=f"unix://{clean.socket}")
    image, lines = client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN echo sdk > /sdk\n"), rm=True, tag="sdk:1")
    assert any("Successfully tagged sdk:1" in line.get("stream", "") for line in lines)
    container = client.containers.run("sdk:1", "cat /sdk", detach=True)
    container.wait()
    assert container.logs() == b"sdk\n" and container.diff() in (None, [])
    assert client.containers.get(container.id).commit("sdk", "2").tags == ["sdk:2"]
    assert b"".join(container.export())
    with pytest.raises(docker.errors.BuildError) as failure:
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 3\n"), rm=True, forcerm=True)
    assert "returned a non-zero code: 3" in str(failure.value)
    assert json.dumps(client.df()["BuildCache"]) == "[]"
    for name in ("sdk:1", "sdk:2"):
        client.images.remove(name, force=True)
    client.close()
