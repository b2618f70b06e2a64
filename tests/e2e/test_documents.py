"""The tutorial's documents, run on three engines in namespaces: on stock dockerd, which shows that they tell the truth
about Docker, and on ours, which has to behave the same."""
import os
import shutil
import xml.etree.ElementTree

import pytest

from document_nodes import BIN, DocumentLab, ROOT

QUICK = bool(os.environ.get("LAB_QUICK"))
DOCUMENTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "scenarios").glob("[0-9]*.md"))
if QUICK:
    DOCUMENTS = ["scenarios/01-hello-world.md", "scenarios/10-create-a-swarm.md"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def is_there(engine):
    return bool(shutil.which("dockerd")) if engine == "dockerd" else (BIN / "engined").exists()


@pytest.fixture(scope="module", params=["engined"] if QUICK else ["dockerd", "engined"])
def lab(request, tmp_path_factory):
    if not is_there(request.param):
        pytest.skip(f"{request.param} is not there")
    with DocumentLab(tmp_path_factory.mktemp(request.param), request.param) as made:
        yield made


@pytest.mark.parametrize("document", DOCUMENTS)
def test_document_holds(lab, document, tmp_path):
    results = tmp_path / "results.xml"
    times = 1 if lab.engine == "dockerd" else 2  # ours again, on what the first time left
    done = lab.run_documents(*[document] * times, junit_xml=results)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{lab.logs()}"
    suites = xml.etree.ElementTree.parse(results).getroot().findall("testsuite")
    assert [suite.get("failures") for suite in suites] == ["0"] * times
    assert int(suites[0].get("tests")) > 20


def test_a_wrong_document_fails_with_place_and_difference(lab, tmp_path):
    wrong = tmp_path / "wrong.md"
    wrong.write_text("# Wrong\n\n```console\nroot@vm2:~# docker ps --format '{{.Names}}'\nnobody\n```\n")
    done = lab.run_documents(wrong, junit_xml=tmp_path / "results.xml")
    assert done.returncode == 1
    assert f"{wrong}:4: on vm2: the output is another one" in done.stdout
    assert "- nobody" in done.stdout
    assert "0 passed, 1 failed" in done.stdout
