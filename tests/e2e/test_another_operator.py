"""An operator that has just started knows nothing of the load, and moves no pod before it does. Stub engines.

Behind the tests that share the operator. Two minutes with LLM_SOAK=1, else twenty seconds.
"""

import pytest

from tests.e2e import figures, kit, platform
from tests.e2e.elastic import MORE, NEEDED, NS, STREAM_S, WAIT_S, apply, asked
from tests.e2e.traffic import Traffic
from tests.lab.wait import until

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.operator_goes, pytest.mark.timeout(600)]

NAME = "loaded"
RESTARTED_S = 120 if figures.SOAK else 20


def test_another_operator_moves_no_pod_under_load() -> None:
    """There are more than the least, and what the first one knew of the load is gone."""
    apply(NAME, 1)
    kit.wait_settled(NAME, NS, 1)
    with Traffic(kit.address(NAME, NS), NAME, rps=2, streams=MORE + 5, stream_s=STREAM_S) as traffic:
        until(lambda: asked(NAME) == NEEDED == kit.llm(NAME, NS)["status"]["readyReplicas"], timeout_s=WAIT_S, what="as many as are needed")
        platform.scale_operator(0)
        platform.scale_operator(1)
        kit.stays(lambda: asked(NAME) == NEEDED, for_s=RESTARTED_S, what=f"{NEEDED} pods asked for under load")
    assert (traffic.seen.failures, traffic.seen.declared) == ([], [])
    kit.kubectl("-n", NS, "delete", "llm", NAME, "--wait=true")
