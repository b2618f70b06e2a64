"""The same commands, requests and calls on dockerd 20.10 and on engined, side by side: what both say and do is equal
after normalise.py, but for what a case gives a reason for."""
import re

import pytest
from case import all_cases


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in all_cases()])
def test_same(pair, case):
    lines = pair.compare(case)
    unexplained = [line for line in lines if not any(re.search(pattern, line) for pattern in case.differs)]
    assert not unexplained, "\n" + "\n".join(unexplained)
    stale = [pattern for pattern in case.differs if not any(re.search(pattern, line) for line in lines)]
    assert not stale, f"reasons without a difference: {stale}"
