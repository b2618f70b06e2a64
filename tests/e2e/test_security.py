"""What a container, a build context or a client's secret must not get at."""
import base64
import ctypes
import io
import json
import os
import pathlib
import tarfile
import threading

import pytest
from crash_load import Api, tar_of
from engine_host import wait_for

SECRET = "hunter2-of-the-user"


def capabilities(pid, name="CapEff"):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")), 16)


def test_engined_gives_up_what_it_does_not_use_and_a_privileged_container_has_it(clean):
    modules, clock, audit, admin = 1 << 16, 1 << 25, 1 << 30, 1 << 21
    own = clean.engine.pid  # nsenter has become engined
    assert capabilities(own) & (modules | clock | audit) == 0 and capabilities(own) & admin
    assert capabilities(own, "CapPrm") == capabilities(own)
    clean.docker("run", "-d", "--privileged", "--name", "c1", "busybox", "sleep", "100")
    held = capabilities(clean.inspect("c1")["State"]["Pid"])
    assert held & modules and held & clock and held & admin


def test_programs_in_a_container_may_gain_privileges_unless_told_otherwise(clean):
    shown = ("run", "--rm", "busybox", "grep", "NoNewPrivs", "/proc/self/status")
    assert clean.out(*shown).split() == ["NoNewPrivs:", "0"]
    assert clean.out("run", "--rm", "--security-opt", "no-new-privileges", *shown[2:]).split() == ["NoNewPrivs:", "1"]


def test_secrets_are_in_no_log_and_no_document(clean, tmp_path):
    header = base64.urlsafe_b64encode(json.dumps({"username": "me", "password": SECRET}).encode()).decode()
    clean.curl("/v1.41/images/create?fromImage=busybox&tag=latest", "-X", "POST", "-H", f"X-Registry-Auth: {header}")
    clean.curl("/v1.41/images/busybox/push?tag=latest", "-X", "POST", "-H", f"X-Registry-Auth: {header}")
    clean.api("POST", "/v1.41/auth", {"username": "me", "password": SECRET, "serveraddress": "127.0.0.1:1"})
    context = tmp_path / "context.tar"
    context.write_bytes(tar_of({"Dockerfile": "FROM busybox\nARG TOKEN\nLABEL a=b\n"}))
    arguments = json.dumps({"TOKEN": SECRET}).replace('"', "%22").replace(" ", "")
    answer = clean.curl(f"/v1.41/build?t=secretive&buildargs={arguments}".replace("{", "%7B").replace("}", "%7D"),
                        "-X", "POST", "-H", "Content-Type: application/x-tar", "--data-binary", f"@{context}")
    assert "Successfully tagged" in answer
    clean.docker("build", "--build-arg", f"TOKEN={SECRET}", "-t", "secretive", "-", input="FROM busybox\nARG TOKEN\n",
                 check=False)
    log = clean.log.read_text(encoding="utf-8")
    assert "/v1.41/build?t=secretive" in log
    assert SECRET not in log and header not in log
    assert SECRET not in clean.out("inspect", "secretive") + clean.out("info", "--format", "{{json .}}")
    clean.docker("rmi", "secretive")


# --- what a racing link must not do ---


class Racer:
    """Exchanges a folder below a container's root with a link to a folder of the host, as fast as it can."""

    AT_FDCWD, RENAME_EXCHANGE = -100, 2

    def __init__(self, parent, target):
        self.parent, self.target = pathlib.Path(parent), target
        self.ended = threading.Event()
        self.swaps = 0
        self.thread = threading.Thread(target=self.work)

    def work(self):
        libc = ctypes.CDLL(None, use_errno=True)
        places = [os.fsencode(self.parent / name) for name in ("race", "link")]
        while not self.ended.is_set():
            if libc.renameat2(self.AT_FDCWD, places[0], self.AT_FDCWD, places[1], self.RENAME_EXCHANGE) == 0:
                self.swaps += 1

    def __enter__(self):
        (self.parent / "race").mkdir()
        (self.parent / "link").symlink_to(self.target)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("of the host\n", encoding="utf-8")
    yield folder
    assert sorted(os.listdir(folder)) == ["secret"]
    assert (folder / "secret").read_text(encoding="utf-8") == "of the host\n"


def test_cp_into_a_place_that_becomes_a_link_stays_in_the_container(clean, outside):
    clean.docker("run", "-d", "--name", "c1", "busybox", "sleep", "100")
    pid = clean.inspect("c1")["State"]["Pid"]
    planted = tar_of({"planted": "x", "deep/er/planted": "x", "secret": "overwritten"})
    api = Api(clean.socket)
    read = 0
    with Racer(f"/proc/{pid}/root", outside) as racer:
        for _ in range(150):
            api.call("PUT", "/containers/c1/archive?path=/race", planted)
            api.call("PUT", "/containers/c1/archive?path=/", tar_of({"race/planted": "x", "race/secret": "overwritten"}))
            status, data = api.call("GET", "/containers/c1/archive?path=/race/secret")
            assert b"of the host" not in data
            read += status == 200
        wait_for("some swaps", lambda: racer.swaps > 100)
    assert read > 0


def hostile_context(dockerfile, outside):
    """Links that lead out, files behind them, and names that climb."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        def add(name, text="x"):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))

        add("Dockerfile", dockerfile)
        for name, target in (("abs", str(outside)), ("up", "../" * 8 + str(outside))):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
            add(f"{name}/planted")
        add("../planted")
        add("/../../planted")
    return out.getvalue()


def test_links_in_a_build_context_lead_nowhere(clean, outside):
    api = Api(clean.socket)
    for copied in ("abs/secret", "up/secret", f"../../../../../{outside}/secret"):
        _, answer = api.call("POST", "/build?t=led", hostile_context(f"FROM busybox\nCOPY {copied} /taken\n", outside))
        assert b"Successfully tagged" not in answer
    # A link in the image is followed there and nowhere else.
    dockerfile = f"FROM busybox\nRUN ln -s {outside} /out\nCOPY Dockerfile /out/planted\n"
    messages = api.stream("POST", "/build?t=led", tar_of({"Dockerfile": dockerfile}))
    assert any("Successfully tagged" in message.get("stream", "") for message in messages)
    assert clean.out("run", "--rm", "led", "cat", f"{outside}/planted") == dockerfile.strip()
    clean.docker("rmi", "led")
