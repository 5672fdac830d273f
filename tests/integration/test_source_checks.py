"""Models whose source comes to hold other files, as their update policy says; the stage answers for the resolvers."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from llm_operator.api.config import OperatorConfig
from llm_operator.core import kinds
from tests.fakes.objects import DIGEST, llm_deployment, operator_config, resolver_answer
from tests.integration.operating import RunningOperator
from tests.integration.server import Server, condition
from tests.integration.stage import Stage
from tests.integration.test_lifecycle import wait_settled
from tests.lab.wait import until

Object = dict[str, Any]

MOVED = "sha256:" + "fedcba9876543210" * 4
CHECK_S = 10
TOLD_S = 90


@pytest.fixture(scope="module")
def namespace(spaces: Callable[[], str], operators: Callable[[OperatorConfig], RunningOperator]) -> str:
    """Return a namespace whose operator asks every few seconds what sources hold."""
    name = spaces()
    operators(operator_config(namespaces=[name], modelCheckSeconds=CHECK_S))
    return name


def create(server: Server, namespace: str, name: str, policy: str) -> str:
    """Create an LLMDeployment that serves, and return its source."""
    source = f"s3://models/{name}"
    server.create(llm_deployment(name, namespace, model={"source": source, "updatePolicy": policy}, replicas=2), namespace)
    wait_settled(server, namespace, name)
    return source


def resolution(server: Server, namespace: str, name: str) -> Object:
    return next(dict(each) for each in server.status(namespace, name)["resolutions"] if each["field"] == "spec.model.source")


def told(server: Server, namespace: str, name: str, status: str) -> Object:
    """Wait until UpdateAvailable has a status, and return it."""

    def check() -> Object | None:
        found = condition(server.status(namespace, name), "UpdateAvailable")
        return found if found.get("status") == status else None

    return until(check, timeout_s=TOLD_S, what=f"UpdateAvailable={status} of {name}")


def asked_again(server: Server, namespace: str, name: str) -> None:
    """Wait until the source has been asked once more."""
    last = resolution(server, namespace, name)["checkedAt"]
    until(lambda: resolution(server, namespace, name)["checkedAt"] > last, timeout_s=TOLD_S, what=f"the source of {name} asked again")


def versions(server: Server, namespace: str, name: str) -> dict[str, tuple[str, str | int]]:
    """Return what tells one state of each child from the next; Jobs and what becomes of them are left out."""
    found = {}
    for kind in (kinds.DEPLOYMENT, kinds.SERVICE, kinds.CONFIG_MAP, kinds.CONTROLLER_REVISION, kinds.POD):
        for each in server.children(namespace, name, kind):
            metadata = each["metadata"]
            if "resolve" not in metadata["name"]:
                found[f"{kind.kind} {metadata['name']}"] = (metadata["uid"], metadata.get("generation", 0))
    return found


def test_a_source_that_has_not_moved_is_asked_and_nothing_but_the_time_of_that_is_written(server: Server, namespace: str) -> None:
    create(server, namespace, "still", "Rollout")
    asked_again(server, namespace, "still")
    before, status = versions(server, namespace, "still"), server.status(namespace, "still")
    asked_again(server, namespace, "still")
    assert versions(server, namespace, "still") == before
    after = server.status(namespace, "still")
    for each in (status, after):
        each["resolutions"] = [{key: value for key, value in entry.items() if key != "checkedAt"} for entry in each["resolutions"]]
    assert after == status


def test_notify_tells_of_other_files_and_rollout_serves_them(server: Server, namespace: str, stage: Stage) -> None:
    source = create(server, namespace, "moves", "Notify")
    before, engine = versions(server, namespace, "moves"), server.status(namespace, "moves")["stable"]["engine"]
    stage.answers[source] = (resolver_answer(MOVED), 0)
    available = told(server, namespace, "moves", "True")
    assert available["reason"] == "ModelChanged"
    assert [words for words in (MOVED, DIGEST, "kubectl llm refresh moves") if words not in available["message"]] == []
    asked_again(server, namespace, "moves")
    assert versions(server, namespace, "moves") == before
    assert (resolution(server, namespace, "moves")["digest"], resolution(server, namespace, "moves")["available"]) == (DIGEST, MOVED)

    server.merge(kinds.LLM_DEPLOYMENT, namespace, "moves", {"spec": {"model": {"updatePolicy": "Rollout"}}})
    until(lambda: resolution(server, namespace, "moves")["digest"] == MOVED, timeout_s=TOLD_S, what="the new digest")
    wait_settled(server, namespace, "moves", timeout_s=120)
    now = server.status(namespace, "moves")["stable"]["engine"]
    until(
        lambda: [each["metadata"]["name"] for each in server.children(namespace, "moves", kinds.DEPLOYMENT)] == [f"moves-{now}"],
        timeout_s=60,
        what="the old engine gone",
    )
    assert now != engine
    assert told(server, namespace, "moves", "False")


def test_a_source_that_cannot_be_asked_is_told_of_and_disturbs_nobody(server: Server, namespace: str, stage: Stage) -> None:
    source = create(server, namespace, "closed", "Rollout")
    before = versions(server, namespace, "closed")
    failure = {"error": {"reason": "SourceDenied", "message": "the keys may not list it"}}
    stage.answers[source] = (json.dumps(failure), 1)
    unknown = told(server, namespace, "closed", "Unknown")
    assert (unknown["reason"], "the keys may not list it" in unknown["message"]) == ("SourceDenied", True)
    assert server.status(namespace, "closed")["phase"] == "Ready"
    assert versions(server, namespace, "closed") == before
    del stage.answers[source]
    told(server, namespace, "closed", "False")
    until(lambda: server.children(namespace, "closed", kinds.JOB) == (), timeout_s=30, what="no Job left")
    assert versions(server, namespace, "closed") == before


def test_an_operator_that_starts_goes_on_where_the_last_one_was(
    server: Server, spaces: Callable[[], str], account: str, stage: Stage
) -> None:
    place = spaces()
    config = operator_config(namespaces=[place], modelCheckSeconds=CHECK_S)
    with RunningOperator(config, account):
        source = create(server, place, "away", "Notify")
    last = resolution(server, place, "away")["checkedAt"]
    stage.answers[source] = (resolver_answer(MOVED), 0)
    with RunningOperator(config, account):
        told(server, place, "away", "True")
    assert resolution(server, place, "away")["checkedAt"] > last
