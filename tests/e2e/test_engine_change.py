"""Another engine under load beside the old one: nothing is lost, and one accelerator more is held than asked for. Stub engines.

Behind the tests that share the operator: this load needs much of the node.
"""

import pytest

from tests.e2e import figures
from tests.e2e.changing import Subject, change_under_load

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.operator_goes, pytest.mark.timeout(600)]


@pytest.mark.parametrize("replicas", [3, 1] if figures.SOAK else [3])
def test_an_engine_edit_loses_nothing_and_holds_one_accelerator_more(replicas: int) -> None:
    subject = Subject(f"surge-{replicas}", replicas)
    with subject.deployed():
        assert change_under_load(subject, rps=20, streams=30).accelerators == replicas + 1
