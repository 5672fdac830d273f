from typing import Any

import pytest

from llm_operator.core.depth import MAX_DEPTH, is_too_deep
from llm_operator.core.plan_prompt import plan_prompt
from tests.unit.core.builders import NOW, make_deployment, make_prompt, make_spec
from tests.unit.core.sim import Sim


def nested(depth: int) -> Any:
    value: Any = {}
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "deep"),
    [(1, False), ({}, False), (nested(MAX_DEPTH - 1), False), (nested(MAX_DEPTH), True), (nested(50_000), True), ([[1] * 9] * 9, False)],
    ids=["scalar", "empty", "just", "over", "abyss", "wide"],
)
def test_depth_is_measured_without_a_stack(value: Any, *, deep: bool) -> None:
    assert is_too_deep(value) == deep


@pytest.mark.covers
def test_an_abyss_in_a_spec_is_the_users_error() -> None:
    sim = Sim(deployment=make_deployment(spec=make_spec(prompt={"inline": {"system": "x", "inputs": nested(200)}})))
    assert sim.plan().status["reason"] == "SpecInvalid"


@pytest.mark.covers
def test_an_abyss_in_a_prompt_is_the_users_error() -> None:
    (valid,) = plan_prompt(make_prompt(system="x", inputs=nested(200)), [], NOW)["conditions"]
    assert (valid["status"], valid["reason"]) == ("False", "PromptInvalid")
    assert "nested deeper than" in valid["message"]
