"""An operator whose renderer writes another pod template takes over what an earlier one has made."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llm_operator.core import kinds, names
from llm_operator.core.render.pod import pod_template
from tests.fakes.objects import llm_deployment, operator_config
from tests.integration.operating import RunningOperator
from tests.integration.server import Server, condition
from tests.integration.stage import Stage
from tests.lab.wait import until

Object = dict[str, Any]

DEPLOYMENTS = [f"chat-{number:02}" for number in range(20)]
LABEL = "example.com/build"


@pytest.fixture(scope="module")
def place(server: Server, spaces: Callable[[], str], account: str, stage: Stage) -> str:
    """Return a namespace with 20 LLMDeployments that serve; the operator that made them is gone."""
    assert stage
    namespace = spaces()
    with RunningOperator(operator_config(namespaces=[namespace]), account):
        for name in DEPLOYMENTS:
            server.create(llm_deployment(name, namespace), namespace)
        until(lambda: all(settled(each) for each in look(server, namespace)), timeout_s=180, what="20 LLMDeployments settled")
    return namespace


@pytest.fixture(scope="module")
def upgraded(place: str, account: str) -> Iterator[str]:
    """Return the namespace under an operator of a test build that puts a label on every pod template."""

    def labelled(*args: Any) -> Object:
        template = pod_template(*args)
        template["metadata"]["labels"][LABEL] = "2"
        return template

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("llm_operator.core.target.pod_template", labelled)
        with RunningOperator(operator_config(namespaces=[place]), account):
            yield place


def look(server: Server, namespace: str) -> tuple[Object, ...]:
    return server.list(kinds.LLM_DEPLOYMENT, namespace)


def settled(live: Object) -> bool:
    status = live.get("status", {})
    wanted = {"Ready": "True", "Reconciling": "False", "Stalled": "False"}
    return all(condition(status, kind).get("status") == value for kind, value in wanted.items())


def versions(server: Server, namespace: str, kind: kinds.Kind) -> dict[str, tuple[str, int]]:
    """Return what tells one state of each object of a kind from the next, but for its status; of pods those with an engine.

    Those of resolvers may still be going when a deployment serves.
    """
    managed = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}" + (f",{names.LABEL_ENGINE}" if kind == kinds.POD else "")
    listed = server.list(kind, namespace, managed)
    return {each["metadata"]["name"]: (each["metadata"]["uid"], each["metadata"].get("generation", 0)) for each in listed}


def refresh(server: Server, namespace: str, name: str, identity: str) -> Object:
    """Ask for a refresh as a user does, and return the answer."""
    latest = server.status(namespace, name)["latestRevision"]
    text = json.dumps({"id": identity, "verb": "refresh", "revision": latest})
    server.merge(kinds.LLM_DEPLOYMENT, namespace, name, {"metadata": {"annotations": {names.ANNOTATION_ACTION: text}}})

    def answer() -> Object | None:
        actions = server.status(namespace, name).get("actions", [])
        return next((dict(each) for each in actions if each["id"] == identity and each["outcome"] != "Running"), None)

    return until(answer, timeout_s=60, what=f"the answer to {identity}")


def test_a_newer_operator_restarts_nothing_says_what_it_would_do_and_refreshes_one(server: Server, place: str, upgraded: str) -> None:
    before = {kind: versions(server, place, kind) for kind in (kinds.DEPLOYMENT, kinds.POD, kinds.CONTROLLER_REVISION)}

    def told() -> bool:
        return all(condition(each["status"], "RefreshAvailable").get("status") == "True" for each in look(server, upgraded))

    until(told, timeout_s=90, what="RefreshAvailable on all 20")
    for each in look(server, upgraded):
        available = condition(each["status"], "RefreshAvailable")
        assert (available["reason"], settled(each)) == ("RenderingChanged", True)
        assert f"metadata.labels.{LABEL}" in available["message"]
    assert {kind: versions(server, place, kind) for kind in before} == before

    chosen, old = DEPLOYMENTS[7], server.status(place, DEPLOYMENTS[7])["stable"]
    answer = refresh(server, place, chosen, "rehearsal-1")
    assert answer["outcome"] == "Done"
    assert answer["revision"] == old["revision"] != answer["result"]

    def rolled() -> bool:
        live = server.must(kinds.LLM_DEPLOYMENT, place, chosen)
        deployments = server.children(place, chosen, kinds.DEPLOYMENT)
        return settled(live) and live["status"]["stable"]["revision"] == answer["result"] and len(deployments) == 1

    until(rolled, timeout_s=90, what="the refreshed engine alone")
    status = server.status(place, chosen)
    assert status["stable"]["engine"] != old["engine"]
    assert condition(status, "RefreshAvailable")["status"] == "False"
    (deployment,) = server.children(place, chosen, kinds.DEPLOYMENT)
    assert deployment["spec"]["template"]["metadata"]["labels"][LABEL] == "2"
    others = {name: uid for name, uid in versions(server, place, kinds.DEPLOYMENT).items() if not name.startswith(chosen)}
    assert others == {name: uid for name, uid in before[kinds.DEPLOYMENT].items() if not name.startswith(chosen)}


@pytest.mark.usefixtures("upgraded")
def test_a_second_refresh_finds_nothing_to_do_and_a_stale_one_is_rejected(server: Server, place: str) -> None:
    name = DEPLOYMENTS[3]
    first = server.status(place, name)["latestRevision"]
    assert refresh(server, place, name, "twice-1")["result"] != first
    until(lambda: settled(server.must(kinds.LLM_DEPLOYMENT, place, name)), timeout_s=90, what="the refreshed engine")
    assert refresh(server, place, name, "twice-2")["message"].startswith("Nothing to refresh")
    text = json.dumps({"id": "twice-3", "verb": "refresh", "revision": first})
    server.merge(kinds.LLM_DEPLOYMENT, place, name, {"metadata": {"annotations": {names.ANNOTATION_ACTION: text}}})

    def last() -> Object | None:
        action = dict(server.status(place, name)["actions"][-1])
        return action if action["id"] == "twice-3" else None

    answer = until(last, timeout_s=20, what="an answer")
    assert answer["outcome"] == "Rejected"
    assert first in answer["message"]
    assert server.status(place, name)["latestRevision"] in answer["message"]


@pytest.mark.usefixtures("upgraded")
@pytest.mark.parametrize("lose_status", [False, True])
def test_what_is_lost_comes_back_as_it_was_and_a_refresh_stays_done(server: Server, place: str, *, lose_status: bool) -> None:
    name = DEPLOYMENTS[11 + lose_status]
    refresh(server, place, name, "lost-1")

    def alone() -> bool:
        """Return whether the old engine is gone, with its pod: that is collected after its Deployment."""
        live = server.must(kinds.LLM_DEPLOYMENT, place, name)
        there = (server.children(place, name, kinds.DEPLOYMENT), server.engine_pods(place, name))
        return settled(live) and [len(each) for each in there] == [1, 1]

    until(alone, timeout_s=90, what="the refreshed engine alone")
    (deployment,) = server.children(place, name, kinds.DEPLOYMENT)
    pods = versions(server, place, kinds.POD)
    for each in server.children(place, name, kinds.CONTROLLER_REVISION):
        server.delete(kinds.CONTROLLER_REVISION, place, each["metadata"]["name"])
    if lose_status:
        server.merge(kinds.LLM_DEPLOYMENT, place, name, {"status": None}, "status")

    def again() -> bool:
        stored = {each["metadata"]["name"] for each in server.children(place, name, kinds.CONTROLLER_REVISION)}
        stable = server.status(place, name).get("stable", {})
        return alone() and {f"{name}-{stable.get('engine')}", f"{name}-{stable.get('revision')}"} <= stored

    until(again, timeout_s=60, what="what was lost")
    (after,) = server.children(place, name, kinds.DEPLOYMENT)
    assert after["metadata"]["uid"] == deployment["metadata"]["uid"]
    assert versions(server, place, kinds.POD) == pods
