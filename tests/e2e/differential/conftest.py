"""One dockerd and one engined for all cases, each in a private host of its own, with the same images."""
import concurrent.futures
import os
import pathlib
import shutil
import sys
import traceback

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import dockerd_host  # noqa: E402
from engine_host import EngineHost  # noqa: E402
from normalise import Normaliser, differences  # noqa: E402
from side import Side  # noqa: E402

IMAGES = ("busybox", "web")


class Pair:
    def __init__(self, pool):
        flags = ["--experimental"]
        theirs = pool.submit(dockerd_host.DockerdHost, f"differ-docker-{os.getpid()}", flags)
        self.hosts = [EngineHost(f"differ-engined-{os.getpid()}", flags), theirs.result()]
        self.pool = pool
        self.both(self.load_images)
        self.kept = self.both(lambda host: inventory(Side(host)))

    def both(self, action):
        """[of engined, of dockerd]"""
        return list(self.pool.map(action, self.hosts))

    @staticmethod
    def load_images(host):
        for name in IMAGES:
            host.docker("pull", "-q", name)

    def compare(self, case):
        """Lines of differences that have no reason, and the reasons that met no difference."""
        (ours, _), (theirs, failed) = self.run_both(case)
        # What fails on both sides would compare as equal.
        lines = [f"the case failed with dockerd: {theirs[-1][1]}"] if failed else []
        for number, ((label, mine), (other_label, other)) in enumerate(zip(ours, theirs), 1):
            if label != other_label:
                lines.append(f"step {number}: dockerd did {other_label!r}, engined {label!r}")
                break
            lines += [f"step {number}, {label}: {line}" for line in differences(mine, other)]
        if len(ours) != len(theirs):
            lines.append(f"dockerd has {len(theirs)} steps, engined {len(ours)}")
        return lines

    def run_both(self, case):
        """For engined and for dockerd: the normalised steps, and whether the case itself failed."""
        return self.both(lambda host: self.perform(host, case))

    def perform(self, host, case):
        side = Side(host)
        places = {str(side.folder): "<folder>", str(host.folder / "data"): "<data>",
                  str(host.folder / "exec"): "<exec>",
                  str(host.socket): "<socket>", str(host.folder): "<host folder>", host.name: "<host>"}
        try:
            case.function(side)
        except Exception:
            side.record("the case itself", traceback.format_exc())
            side.failed = True
        finally:
            clean(side, self.kept[self.hosts.index(host)])
            side.close()
        normaliser = Normaliser(places)
        return [(normaliser.text(label), normaliser.value(value)) for label, value in side.steps], side.failed

    def close(self):
        self.both(lambda host: host.close())


def inventory(side):
    """What an engine has: kind -> names."""
    return {
        "containers": {one["Id"] for one in side.get("/containers/json?all=1")},
        "networks": {one["Id"] for one in side.get("/networks")},
        "volumes": {one["Name"] for one in side.get("/volumes")["Volumes"] or []},
        "images": {name for one in side.get("/images/json?all=1") for name in (one["RepoTags"] or []) + [one["Id"]]},
    }


def clean(side, kept):
    """Removes what a case has left. An image goes when its children have gone."""
    flags = {"containers": "?force=1&v=1", "images": "?force=1", "volumes": "?force=1"}
    for kind in ("containers", "networks", "volumes", "images"):
        before = None
        while (left := inventory(side)[kind] - kept[kind]) and left != before:
            before = left
            for name in sorted(left, key=len):
                side.request("DELETE", f"/{kind}/{name}{flags.get(kind, '')}")


@pytest.fixture(scope="session")
def pair():
    if os.geteuid() != 0:
        pytest.skip("namespaces for the engines need root")
    if not dockerd_host.is_installed():
        pytest.skip("dockerd is not installed (Debian's docker.io)")
    if not shutil.which("docker"):
        pytest.skip("the docker client is not installed")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        pair = Pair(pool)
        try:
            yield pair
        finally:
            pair.close()
