"""Who else sets the number of replicas of an object, by what they say of their target."""

from typing import Any

import pytest

from llm_operator.core.scaling.rivals import may_have_rivals, target_of

OURS = {"apiVersion": "llmops.dev/v1alpha1", "kind": "LLMDeployment", "name": "chat"}


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        (OURS, "chat"),
        (OURS | {"apiVersion": "llmops.dev/v1"}, "chat"),
        (OURS | {"apiVersion": "example.com/v1alpha1"}, ""),
        ({"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"}, ""),
        ({"name": "chat"}, ""),
        (None, ""),
    ],
    ids=["ours", "of a later version", "of somebody else's kind", "a Deployment", "KEDA's default, a Deployment", "nothing"],
)
def test_a_scaler_is_for_what_its_reference_says(reference: dict[str, str] | None, target: str) -> None:
    assert target_of({"spec": {"scaleTargetRef": reference} if reference else {}}) == target


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
