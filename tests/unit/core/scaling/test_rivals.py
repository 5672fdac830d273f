"""Where somebody else may set the number of replicas of an object."""

from typing import Any

import pytest

from llm_operator.core.scaling.rivals import may_have_rivals


@pytest.mark.parametrize(
    ("spec", "may"),
    [
        ({"autoscaling": {"mode": "BuiltIn"}}, True),
        ({"autoscaling": {"mode": "Shadow"}}, False),
        ({"autoscaling": None}, False),
        ({}, False),
    ],
)
def test_only_what_the_load_decides_has_rivals(spec: dict[str, Any], may: bool) -> None:
    assert may_have_rivals({"spec": spec}) is may
