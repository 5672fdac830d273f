"""How many requests there are, and how many a pod may have: asked of every ready pod, or not known at all."""

from typing import Any

import pytest

from llm_operator.core.load import Load, load_of
from llm_operator.core.observed import Observed, SidecarReport
from llm_operator.core.stored import Engine
from llm_operator.core.world import World, sort
from tests.unit.core.builders import make_deployment, make_pod

ENGINE = Engine("e1", {"engine": {}}, {})
READY: dict[str, Any] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


def world(*reports: SidecarReport | None, **status: Any) -> World:
    pods = tuple(make_pod(f"p{number}", "e1", **(status or READY)) for number in range(len(reports)))
    return sort(Observed(make_deployment(), pods=pods, reports={f"p{number}": each for number, each in enumerate(reports)}))


def test_what_runs_and_what_waits_in_all_pods_is_added_up_and_the_smallest_pod_says_what_one_may_have() -> None:
    told = world(SidecarReport(running=3, queued=2, slots=64), SidecarReport(running=1, held=4, slots=32))
    assert load_of(told, ENGINE) == Load(10, 32)


def test_an_engine_that_computes_fewer_at_once_than_its_sidecar_lets_in_says_what_one_may_have() -> None:
    told = world(SidecarReport(slots=256))
    assert load_of(told, Engine("e1", {"engine": {"args": {"max-num-seqs": "16"}}}, {})) == Load(0, 16)


@pytest.mark.parametrize(
    ("reports", "words"),
    [
        ((SidecarReport(slots=8), None), "pod p1 cannot be asked"),
        ((SidecarReport(),), "the sidecar of pod p0 is of a version that does not say"),
        ((), "no pod is ready"),
    ],
)
def test_one_pod_that_does_not_tell_leaves_all_of_it_unknown(reports: tuple[SidecarReport | None, ...], words: str) -> None:
    assert words in load_of(world(*reports), ENGINE).unknown


def test_a_pod_that_is_not_ready_is_not_asked_for() -> None:
    assert load_of(world(None, phase="Running"), ENGINE).unknown == "no pod is ready to be asked"
