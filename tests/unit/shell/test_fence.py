import pytest

from llm_operator.core.lease import LEASE_S, RENEW_S
from llm_operator.shell.errors import FencedError
from llm_operator.shell.fence import Fence, boot_time


def test_a_fence_is_closed_until_it_is_opened_and_closes_by_time_alone() -> None:
    now, refused = [100.0], []
    fence = Fence(lambda: now[0], lambda: refused.append(now[0]))
    with pytest.raises(FencedError):
        fence.check()
    fence.open(110)
    assert fence.is_open
    now[0] = 109
    assert fence.check() == 1 + LEASE_S - RENEW_S
    now[0] = 110
    assert not fence.is_open
    with pytest.raises(FencedError, match="does not lead any more, so nothing was written"):
        fence.check()
    assert refused == [100, 110]


def test_a_fence_that_was_closed_lets_nothing_out() -> None:
    fence = Fence(lambda: 100.0)
    fence.open(110)
    fence.close()
    assert not fence.is_open


def test_its_clock_runs_forward() -> None:
    assert 0 < boot_time() <= boot_time()
