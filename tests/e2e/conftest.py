"""Fixtures of the end-to-end tests."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from engine_host import EngineHost  # noqa: E402


@pytest.fixture(scope="module")
def engine():
    """An engined in namespaces of its own, with the images busybox, hello-world and web to be pulled."""
    if os.geteuid() != 0:
        pytest.skip("namespaces for an engine need root")
    host = EngineHost(f"engined-{os.getpid()}")
    try:
        for name in ("busybox", "web"):
            host.docker("pull", "-q", name)
        yield host
    finally:
        host.close()


@pytest.fixture
def clean(engine):
    """Leaves no container behind."""
    yield engine
    engine.remove_all()
