"""A change let in by steps, on a real API server: what users see, ask for, and wait for."""

import json
from typing import Any

import pytest

from llm_operator.core import kinds, names
from llm_operator.core.kinds import Kind
from llm_sidecar import table
from tests.fakes.objects import llm_deployment, operator_config
from tests.integration.chart.kit import kubectl
from tests.integration.operating import RunningOperator
from tests.integration.server import Server, condition
from tests.integration.stage import Stage
from tests.lab.wait import until

Object = dict[str, Any]

EVENT = Kind("", "v1", "events", "Event")
STEPS = [{"weightPercent": 5, "minDuration": "2s"}, {"approval": {}}, {"weightPercent": 50, "minDuration": "2s"}]
WAIT_S = 60


def prompted(system: str) -> Object:
    return {"prompt": {"inline": {"system": system}}}


def create(server: Server, namespace: str, name: str) -> Object:
    """Create a deployment that lets changes in by steps, and wait until it serves."""
    server.create(llm_deployment(name, namespace, replicas=2, rollout={"config": {"steps": STEPS}}, **prompted("Be brief.")), namespace)
    until(lambda: server.status(namespace, name).get("phase") == "Ready", timeout_s=WAIT_S, what=f"{name} ready")
    return server.status(namespace, name)


def edit(server: Server, namespace: str, name: str, system: str) -> None:
    server.merge(kinds.LLM_DEPLOYMENT, namespace, name, {"spec": prompted(system)})


def wait_state(server: Server, namespace: str, name: str, state: str, step: int = 0) -> Object:
    """Wait until the rollout of the newest spec is in a state, at a step if one is given."""

    def there() -> Object | None:
        live = server.must(kinds.LLM_DEPLOYMENT, namespace, name)
        status = live.get("status", {})
        rollout = status.get("rollout", {})
        known = status.get("observedGeneration") == live["metadata"]["generation"]
        return status if known and rollout.get("state") == state and step in {0, rollout["step"]} else None

    try:
        found: Object = until(there, timeout_s=WAIT_S, what=f"{name} {state}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{server.status(namespace, name)}") from error
    return found


def ask(server: Server, namespace: str, name: str, verb: str, identity: str) -> Object:
    """Ask for a verb as a pipeline does, and return its answer."""
    revision = server.status(namespace, name)["latestRevision"]
    body = json.dumps({"id": identity, "verb": verb, "revision": revision})
    kubectl("--namespace", namespace, "annotate", "--overwrite", f"llm/{name}", f"{names.ANNOTATION_ACTION}={body}")

    def answered() -> Object | None:
        found = [each for each in server.status(namespace, name).get("actions", []) if each["id"] == identity]
        return dict(found[0]) if found and found[0]["outcome"] != "Running" else None

    answer: Object = until(answered, timeout_s=WAIT_S, what=f"an answer to {verb}")
    return answer


def weights(server: Server, namespace: str, name: str) -> dict[str, int]:
    snapshot = server.must(kinds.CONFIG_MAP, namespace, names.snapshot(name))
    return {route.revision: route.weight for route in table.decode(snapshot["data"][table.TABLE_KEY].encode()).routes}


def pods(server: Server, namespace: str, name: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in server.engine_pods(namespace, name)}


def test_a_change_goes_its_steps_waits_for_its_approval_and_moves_no_pod(server: Server, namespace: str) -> None:
    before, there = create(server, namespace, "steps"), pods(server, namespace, "steps")
    edit(server, namespace, "steps", "Be very brief.")
    kubectl("--namespace", namespace, "wait", "llm/steps", "--for=condition=ApprovalRequired", "--timeout=60s")
    status = server.status(namespace, "steps")
    assert (status["phase"], status["canary"]["weight"], status["stable"]["weight"]) == ("Paused", 5, 95)
    assert weights(server, namespace, "steps") == {before["latestRevision"]: 9_500, status["latestRevision"]: 500}
    assert [condition(status, kind)["status"] for kind in ("Ready", "Reconciling", "Stalled")] == ["True", "False", "False"]
    assert ask(server, namespace, "steps", "approve", "gh-1")["outcome"] == "Done"
    kubectl("--namespace", namespace, "wait", "llm/steps", "--for=jsonpath={.status.rollout.state}=Promoted", "--timeout=60s")
    until(lambda: server.status(namespace, "steps")["phase"] == "Ready", timeout_s=WAIT_S, what="nothing left to do")
    after = server.status(namespace, "steps")
    assert after["stable"]["revision"] == after["latestRevision"] == status["latestRevision"]
    assert [(each["state"], each["weight"]) for each in after["history"]] == [
        ("Preparing", 0),
        ("Stepping", 5),
        ("Stepping", 5),
        ("Stepping", 50),
        ("Finalising", 100),
        ("Promoted", 100),
    ]
    assert pods(server, namespace, "steps") == there
    told = {each["reason"] for each in server.list(EVENT, namespace) if each["involvedObject"]["name"] == "steps"}
    assert {"RolloutPreparing", "RolloutStepping", "RolloutFinalising", "Promoted", "ActionDone"} <= told


def test_an_abort_is_remembered_and_a_rollback_goes_back(server: Server, namespace: str) -> None:
    before = create(server, namespace, "back")
    edit(server, namespace, "back", "Be very brief.")
    wait_state(server, namespace, "back", "Stepping", 2)
    assert ask(server, namespace, "back", "abort", "gh-1")["outcome"] == "Done"
    status = wait_state(server, namespace, "back", "Aborted")
    assert [condition(status, kind)["status"] for kind in ("Ready", "Stalled", "SpecDiverged")] == ["True", "True", "True"]
    stable = {before["latestRevision"]: table.WHOLE}
    until(lambda: weights(server, namespace, "back") == stable, timeout_s=WAIT_S, what="the aborted revision gone")
    server.merge(kinds.LLM_DEPLOYMENT, namespace, "back", {"spec": {"rollout": {"approve": {"revision": status["latestRevision"]}}}})
    assert wait_state(server, namespace, "back", "Aborted")["abortedRevisions"] == status["abortedRevisions"]
    assert ask(server, namespace, "back", "retry", "gh-2")["outcome"] == "Done"
    assert wait_state(server, namespace, "back", "Promoted")["stable"]["revision"] == status["latestRevision"]
    assert ask(server, namespace, "back", "rollback", "gh-3")["outcome"] == "Done"
    until(lambda: weights(server, namespace, "back") == stable, timeout_s=WAIT_S, what="what was stable before")
    after = wait_state(server, namespace, "back", "Promoted")
    assert (after["rollout"]["reason"], after["stable"]["revision"]) == ("RolledBack", before["latestRevision"])


def test_the_same_manifest_a_hundred_times_in_the_middle_moves_nothing(server: Server, namespace: str) -> None:
    create(server, namespace, "again")
    edit(server, namespace, "again", "Be very brief.")
    before = wait_state(server, namespace, "again", "Stepping", 2)
    live, snapshot = (
        server.must(kinds.LLM_DEPLOYMENT, namespace, "again"),
        server.must(kinds.CONFIG_MAP, namespace, names.snapshot("again")),
    )
    for number in range(100):  # as a tool does that notes when it has synced: each one is heard of
        server.merge(kinds.LLM_DEPLOYMENT, namespace, "again", {"metadata": {"annotations": {"synced": str(number)}}, "spec": live["spec"]})
    assert ask(server, namespace, "again", "pause", "gh-1")["outcome"] == "Done", "all of them have been looked at"
    assert server.must(kinds.CONFIG_MAP, namespace, names.snapshot("again"))["data"] == snapshot["data"]
    after = server.status(namespace, "again")
    assert (after["rollout"]["id"], after["rollout"]["step"], after["rollout"]["weight"]) == (before["rollout"]["id"], 2, 5)
    assert after["history"][:-1] == before["history"]
    assert server.must(kinds.LLM_DEPLOYMENT, namespace, "again")["metadata"]["generation"] == live["metadata"]["generation"]


@pytest.mark.usefixtures("stage")
def test_an_operator_that_is_replaced_in_the_middle_goes_on_where_the_other_was(server: Server, account: str, spaces: Any) -> None:
    namespace = spaces()
    config = operator_config(namespaces=[namespace])
    with RunningOperator(config, account):
        create(server, namespace, "heir")
        edit(server, namespace, "heir", "Be very brief.")
        before = wait_state(server, namespace, "heir", "Stepping", 2)
    edit_of_steps = {"spec": {"rollout": {"approve": {"revision": before["latestRevision"]}}}}
    server.merge(kinds.LLM_DEPLOYMENT, namespace, "heir", edit_of_steps)
    with RunningOperator(config, account):
        after = wait_state(server, namespace, "heir", "Promoted")
    assert after["rollout"]["id"] == before["rollout"]["id"]
    assert after["stable"]["revision"] == before["latestRevision"]


def test_a_pod_that_cannot_serve_a_revision_ends_it_before_it_has_a_request(server: Server, namespace: str, stage: Stage) -> None:
    before = create(server, namespace, "choosy")
    refuser = min(pod["metadata"]["name"] for pod in server.engine_pods(namespace, "choosy"))
    stage.refusing[refuser] = "prompt.system: cannot be compiled"
    try:
        edit(server, namespace, "choosy", "Be very brief.")
        status = wait_state(server, namespace, "choosy", "Aborted")
    finally:
        stage.refusing.clear()
    assert (status["rollout"]["reason"], status["stable"]["revision"]) == ("BundleRefused", before["latestRevision"])
    assert refuser in status["rollout"]["message"]
    assert {each["weight"] for each in status["history"]} == {0}
