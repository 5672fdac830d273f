"""Another engine under load within the accelerators there are: nothing is lost, whoever cannot be served waits. Stub engines.

Behind the tests that share the operator: this load needs much of the node.
"""

import pytest

from tests.e2e import figures, kit
from tests.e2e.changing import NS, Subject, change_under_load

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.operator_goes, pytest.mark.timeout(600)]

QUICK = {} if figures.SOAK else {"stream_s": (3, 5, 8)}
"""Shorter streams, so that the old pod has soon ended them."""


@pytest.mark.parametrize("replicas", [1, 3] if figures.SOAK else [1])
def test_accelerators_change_hands_and_requests_wait_when_nobody_can_serve(replicas: int) -> None:
    subject = Subject(f"replace-{replicas}", replicas, replaces=True, load=QUICK)
    with subject.deployed():
        outcome = change_under_load(subject, rps=20, streams=30)
        room = kit.llm(subject.name, NS)["spec"]["limits"]["hold"]["requests"]
    assert outcome.accelerators == replicas
    if replicas == 1:
        assert 0 < outcome.waiting <= room
    else:
        assert outcome.waiting == 0
