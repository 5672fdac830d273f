"""Waiting for kinds that have only just come."""

import json

import pytest

from tests.lab.served import served

NAMES_ACCEPTED = {"type": "NamesAccepted", "status": "True"}
WAITS = {"type": "Established", "status": "False"}
ESTABLISHED = {"type": "Established", "status": "True"}


@pytest.mark.parametrize(
    "not_yet", [{}, {"status": None}, {"status": {"conditions": None}}, {"status": {"conditions": [NAMES_ACCEPTED, WAITS]}}]
)
def test_a_kind_without_conditions_yet_is_waited_for(not_yet: object) -> None:
    answers = [not_yet, not_yet, {"status": {"conditions": [NAMES_ACCEPTED, ESTABLISHED]}}]
    asked = []

    def kubectl(*args: str) -> str:
        asked.append(args)
        return json.dumps(answers.pop(0))

    served(kubectl, "routes.example.com")
    assert asked == [("get", "crd/routes.example.com", "--output=json")] * 3


def test_each_kind_is_waited_for() -> None:
    asked = []

    def kubectl(*args: str) -> str:
        asked.append(args[1])
        return json.dumps({"status": {"conditions": [ESTABLISHED]}})

    served(kubectl, "routes.example.com", "models.example.com")
    assert asked == ["crd/routes.example.com", "crd/models.example.com"]
