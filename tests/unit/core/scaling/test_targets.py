"""Whose number of replicas others set, by what they say of their target."""

import pytest

from llm_operator.core.scaling.targets import rivals, target_of

OURS = {"apiVersion": "llmops.dev/v1alpha1", "kind": "LLMDeployment", "name": "chat"}
CHILD = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat-gdqbqhswzm"}


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        (OURS, "chat"),
        (OURS | {"apiVersion": "llmops.dev/v1"}, "chat"),
        (OURS | {"apiVersion": "example.com/v1alpha1"}, ""),
        (CHILD, "chat"),
        (CHILD | {"name": "chat-entry"}, "chat"),
        (CHILD | {"name": "chat"}, ""),
        (CHILD | {"apiVersion": "example.com/v1"}, ""),
        (CHILD | {"kind": "StatefulSet"}, ""),
        ({"name": "chat-gdqbqhswzm"}, "chat"),
        (None, ""),
    ],
    ids=[
        *(
            "ours",
            "of a later version",
            "of somebody else's kind",
            "an engine's Deployment",
            "the entry's",
            "a Deployment of no child's name",
        ),
        *("somebody else's Deployment", "another kind", "KEDA's default, a Deployment", "nothing"),
    ],
)
def test_a_scaler_is_for_what_its_reference_says(reference: dict[str, str] | None, target: str) -> None:
    assert target_of({"spec": {"scaleTargetRef": reference} if reference else {}}) == target


def test_one_for_a_deployment_counts_where_that_is_a_child_of_the_object() -> None:
    def scaler(name: str, reference: dict[str, str]) -> dict[str, object]:
        return {"kind": "HorizontalPodAutoscaler", "metadata": {"name": name}, "spec": {"scaleTargetRef": reference}}

    found = [scaler("b", OURS), scaler("a", CHILD), scaler("c", CHILD | {"name": "chat-production"})]
    assert rivals(found, ["chat-gdqbqhswzm", "chat-entry"]) == (
        "HorizontalPodAutoscaler a (for Deployment chat-gdqbqhswzm)",
        "HorizontalPodAutoscaler b",
    )
