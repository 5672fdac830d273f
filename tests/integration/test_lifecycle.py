"""An LLMDeployment from its creation to its end, with everything that can happen to its children in between."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llm_operator.core import kinds
from llm_operator.core.kinds import Kind
from llm_sidecar import table
from tests.fakes.objects import llm_deployment, llm_prompt
from tests.integration.server import OWNED, Server, condition
from tests.integration.stage import Stage
from tests.lab.wait import until

Object = dict[str, Any]

RESTORED_S = 10
EDITS: dict[Kind, Object] = {
    kinds.DEPLOYMENT: {"spec": {"replicas": 7}},
    kinds.SERVICE: {"spec": {"selector": {"app": "other"}}},
    kinds.CONFIG_MAP: {"data": {"table.json": "{}"}},
    kinds.POD_DISRUPTION_BUDGET: {"spec": {"maxUnavailable": 5}},
    kinds.NETWORK_POLICY: {"spec": {"podSelector": {"matchLabels": {"app": "other"}}}},
}


def settled(server: Server, namespace: str, name: str) -> Callable[[], bool]:
    """Return a condition: what was last asked for serves, and nothing is left to do."""

    def check() -> bool:
        live = server.must(kinds.LLM_DEPLOYMENT, namespace, name)
        status = live.get("status", {})
        return (
            status.get("observedGeneration") == live["metadata"]["generation"]
            and condition(status, "Ready").get("status") == "True"
            and condition(status, "Reconciling").get("status") == "False"
            and condition(status, "Stalled").get("status") == "False"
        )

    return check


def wait_settled(server: Server, namespace: str, name: str, timeout_s: float = 60) -> Object:
    try:
        until(settled(server, namespace, name), timeout_s=timeout_s, what=f"{name} settled")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{server.status(namespace, name)}") from error
    return server.must(kinds.LLM_DEPLOYMENT, namespace, name)


def wait_counted(server: Server, namespace: str, name: str) -> None:
    """Wait until the cluster's own controllers have written down that all pods are ready: they may do so after the operator has.

    Until then versions of objects change although nobody has touched them.
    """
    replicas = server.must(kinds.LLM_DEPLOYMENT, namespace, name)["spec"]["replicas"]
    counts = {kinds.DEPLOYMENT: "availableReplicas", kinds.POD_DISRUPTION_BUDGET: "currentHealthy"}

    def counted() -> bool:
        found = [(each, count) for kind, count in counts.items() for each in server.children(namespace, name, kind)]
        current = all(each["status"].get("observedGeneration") == each["metadata"]["generation"] for each, _ in found)
        return current and all(each["status"].get(count) == replicas for each, count in found)

    until(counted, timeout_s=60, what=f"the pods of {name} counted")


def content(child: Object) -> Object:
    """Return what an object is for. What was lost is made anew: ControllerRevisions without inputs, tables with a new generation.

    Addresses of pods come and go beside the table.
    """
    data = {key: value for key, value in child.items() if key not in {"metadata", "status"}}
    if child["kind"] == kinds.CONTROLLER_REVISION.kind:
        data["data"] = {key: value for key, value in child["data"].items() if key != "inputs"}
    if child["kind"] == kinds.CONFIG_MAP.kind:
        live = json.loads(child["data"][table.TABLE_KEY])
        kept = {key: value for key, value in child["data"].items() if key != table.PEERS_KEY}
        data["data"] = {**kept, table.TABLE_KEY: {key: value for key, value in live.items() if key != "generation"}}
    return data


@pytest.fixture(scope="module")
def chat(server: Server, namespace: str) -> Object:
    server.create(llm_deployment("chat", namespace, replicas=2), namespace)
    return wait_settled(server, namespace, "chat")


def test_every_child_is_there_and_belongs_to_its_llmdeployment(server: Server, namespace: str, chat: Object) -> None:
    found = {kind.kind: server.children(namespace, "chat", kind) for kind in OWNED}
    assert {kind: len(children) for kind, children in found.items()} == {
        "Deployment": 1,
        "Service": 1,
        "ConfigMap": 1,
        "ControllerRevision": 2,
        "PodDisruptionBudget": 1,
        "NetworkPolicy": 1,
    }
    for children in found.values():
        for child in children:
            (owner,) = child["metadata"]["ownerReferences"]
            assert (owner["kind"], owner["name"], owner["uid"]) == ("LLMDeployment", "chat", chat["metadata"]["uid"])
            assert owner["controller"]
    assert server.children(namespace, "chat", kinds.JOB) == (), "the resolver's Job goes once it has answered"


def test_the_status_says_what_the_objects_bear_out(server: Server, namespace: str, chat: Object) -> None:
    status = chat["status"]
    (deployment,) = server.children(namespace, "chat", kinds.DEPLOYMENT)
    assert status["phase"] == "Ready"
    assert (status["replicas"], status["readyReplicas"]) == (2, 2)
    assert deployment["metadata"]["name"] == f"chat-{status['stable']['engine']}"
    assert status["stable"]["revision"] == status["latestRevision"]
    assert status["table"]["acked"] == status["table"]["of"] == 2
    selected = server.list(kinds.POD, namespace, status["selector"])
    assert len(selected) == 2


@pytest.mark.usefixtures("chat")
@pytest.mark.parametrize("kind", OWNED, ids=lambda kind: kind.kind)
def test_a_deleted_child_comes_back_within_ten_seconds(server: Server, namespace: str, kind: Kind) -> None:
    for lost in server.children(namespace, "chat", kind):
        name, uid = lost["metadata"]["name"], lost["metadata"]["uid"]
        server.delete(kind, namespace, name)

        def restored(name: str = name, uid: str = uid) -> Object | None:
            live = server.get(kind, namespace, name)
            return live if live and live["metadata"]["uid"] != uid and "deletionTimestamp" not in live["metadata"] else None

        live = until(restored, timeout_s=RESTORED_S, what=f"{kind.kind} {name} restored")
        if kind != kinds.SERVICE:  # it has a new address
            assert content(live) == content(lost)
    wait_settled(server, namespace, "chat")


@pytest.mark.usefixtures("chat")
@pytest.mark.parametrize("kind", EDITS, ids=lambda kind: kind.kind)
def test_an_edited_child_is_set_right_within_ten_seconds(server: Server, namespace: str, kind: Kind) -> None:
    for child in server.children(namespace, "chat", kind):
        name = child["metadata"]["name"]
        server.merge(kind, namespace, name, EDITS[kind])

        def right(child: Object = child, name: str = name) -> bool:
            return content(server.must(kind, namespace, name)) == content(child)

        until(right, timeout_s=RESTORED_S, what=f"{kind.kind} {name} set right")
    wait_settled(server, namespace, "chat")


@pytest.mark.usefixtures("chat")
@pytest.mark.parametrize("kind", [kinds.POD_DISRUPTION_BUDGET, kinds.CONTROLLER_REVISION], ids=lambda kind: kind.kind)
@pytest.mark.parametrize("change", [{"labels": {"llmops.dev/deployment": None}}, {"ownerReferences": None}], ids=["label", "owner"])
def test_a_child_that_was_stripped_of_what_makes_it_ours_is_taken_back(server: Server, namespace: str, change: Object, kind: Kind) -> None:
    child = server.children(namespace, "chat", kind)[0]
    name = child["metadata"]["name"]
    server.merge(kind, namespace, name, {"metadata": change})

    def whole() -> bool:
        metadata = server.must(kind, namespace, name)["metadata"]
        return all(metadata.get(key) == child["metadata"][key] for key in ("labels", "ownerReferences"))

    until(whole, timeout_s=RESTORED_S, what="labels and owner restored")


@pytest.mark.usefixtures("chat")
def test_what_others_add_to_a_child_stays_and_makes_no_hot_loop(server: Server, namespace: str) -> None:
    server.merge(kinds.SERVICE, namespace, "chat", {"metadata": {"annotations": {"example.com/mesh": "on"}}})
    version = server.must(kinds.SERVICE, namespace, "chat")["metadata"]["resourceVersion"]
    time_passes(3)
    live = server.must(kinds.SERVICE, namespace, "chat")
    assert live["metadata"]["annotations"]["example.com/mesh"] == "on"
    assert live["metadata"]["resourceVersion"] == version


def time_passes(seconds: float) -> None:
    """Let time pass: what is asserted afterwards is that nothing happened in it."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end, timeout_s=seconds + 5, what="time")


@pytest.mark.usefixtures("chat")
def test_at_rest_nothing_is_written(server: Server, namespace: str) -> None:
    wait_settled(server, namespace, "chat")
    time_passes(3)  # what was already on its way
    began = len(writes(server, namespace))
    time_passes(12)
    assert writes(server, namespace)[began:] == []


def writes(server: Server, namespace: str) -> list[str]:
    """Return what the operator has written in a namespace, from the API server's own audit log."""
    return [
        f"{each['verb']} {each['requestURI']}"
        for each in server.lab.audit_events()
        if each.get("objectRef", {}).get("namespace") == namespace
        and each["stage"] == "ResponseComplete"
        and each["verb"] not in {"get", "list", "watch"}
        and each.get("userAgent", "").startswith("llm-operator/")
    ]


@pytest.mark.usefixtures("chat")
def test_neither_annotation_nor_finalizer_appears_on_an_llmdeployment(server: Server, namespace: str) -> None:
    for live in server.list(kinds.LLM_DEPLOYMENT, namespace):
        assert "annotations" not in live["metadata"]
        assert "finalizers" not in live["metadata"]


@pytest.mark.usefixtures("chat")
def test_replicas_follow_the_scale_subresource(server: Server, namespace: str) -> None:
    engine = server.status(namespace, "chat")["stable"]["engine"]
    for replicas in (3, 1, 2):
        server.merge(kinds.LLM_DEPLOYMENT, namespace, "chat", {"spec": {"replicas": replicas}}, "scale")
        wait_settled(server, namespace, "chat")
        # Nothing is left to do once pods are on their way out; the node lets them go when it next looks.
        until(lambda: len(server.engine_pods(namespace, "chat")) == replicas, timeout_s=20, what="as many pods")  # noqa: B023  # called at once
        assert server.status(namespace, "chat")["readyReplicas"] == replicas
        assert server.status(namespace, "chat")["stable"]["engine"] == engine


def test_an_engine_edit_keeps_the_old_engine_until_the_new_one_is_ready(server: Server, namespace: str, stage: Stage) -> None:
    server.create(llm_deployment("edited", namespace), namespace)
    before = wait_settled(server, namespace, "edited")["status"]["stable"]
    stage.held.add(namespace)
    try:
        server.merge(kinds.LLM_DEPLOYMENT, namespace, "edited", {"spec": {"engine": {"maxModelLen": 4096}}})
        until(lambda: server.status(namespace, "edited").get("canary"), timeout_s=20, what="a second engine")
        status = server.status(namespace, "edited")
        assert status["stable"]["engine"] == before["engine"]
        assert status["canary"]["engine"] != before["engine"]
        assert condition(status, "Ready")["status"] == "True"
        assert len(server.children(namespace, "edited", kinds.DEPLOYMENT)) == 2
    finally:
        stage.held.discard(namespace)
    wait_settled(server, namespace, "edited")
    until(lambda: len(server.children(namespace, "edited", kinds.DEPLOYMENT)) == 1, timeout_s=30, what="the old engine removed")
    assert server.status(namespace, "edited")["stable"]["engine"] == status["canary"]["engine"]


def test_an_engine_edit_goes_one_pod_up_and_one_down_and_takes_the_units_along(server: Server, namespace: str) -> None:
    server.create(llm_deployment("ratchet", namespace, replicas=3), namespace)
    old = wait_settled(server, namespace, "ratchet")["status"]["stable"]["engine"]
    server.merge(kinds.LLM_DEPLOYMENT, namespace, "ratchet", {"spec": {"engine": {"maxModelLen": 4096}}})
    weights = [0]

    def through() -> bool:
        pods = server.engine_pods(namespace, "ratchet")
        assert len(pods) <= 4, "more pods than replicas and one"
        snapshot = server.must(kinds.CONFIG_MAP, namespace, "ratchet-snapshot")
        routes = table.decode(snapshot["data"][table.TABLE_KEY].encode()).routes
        assert sum(route.weight for route in routes) == table.WHOLE
        weight = sum(route.weight for route in routes if route.engine != old)
        if weight != weights[-1]:
            weights.append(weight)
        return weight == table.WHOLE

    until(through, timeout_s=60, what="every unit on the new engine")
    assert weights == sorted(weights)
    assert weights[-3:] == [3333, 6666, 10_000], "each ready pod takes its share"
    after = wait_settled(server, namespace, "ratchet")["status"]
    assert after["stable"]["engine"] != old
    assert "canary" not in after
    assert server.get(kinds.DEPLOYMENT, namespace, f"ratchet-{old}") is None
    assert server.get(kinds.SERVICE, namespace, f"ratchet-{old}") is None
    services = {child["metadata"]["name"] for child in server.children(namespace, "ratchet", kinds.SERVICE)}
    assert services == {"ratchet", f"ratchet-{after['stable']['engine']}"}


def test_with_replace_the_only_pod_changes_hands_behind_an_entry(server: Server, namespace: str) -> None:
    replace = {"rollout": {"capacity": {"mode": "Replace"}}}
    server.create(llm_deployment("only", namespace, **replace), namespace)
    before = wait_settled(server, namespace, "only")["status"]
    server.merge(kinds.LLM_DEPLOYMENT, namespace, "only", {"spec": {"engine": {"maxModelLen": 4096}}})
    seen: set[str] = set()

    def replaced() -> bool:
        pods = server.children(namespace, "only", kinds.POD)
        engines = [pod for pod in pods if "llmops.dev/engine" in pod["metadata"]["labels"]]
        entries = [pod for pod in pods if pod["metadata"]["labels"].get("llmops.dev/role") == "entry"]
        assert len(engines) <= 1, "more pods than replicas"
        assert entries, "nobody to hold requests"
        seen.update(pod["metadata"]["labels"]["llmops.dev/engine"] for pod in engines)
        status = server.status(namespace, "only")
        return bool(status["stable"]["engine"] != before["stable"]["engine"])

    until(replaced, timeout_s=60, what="the new engine stable")
    after = wait_settled(server, namespace, "only")["status"]
    assert seen == {before["stable"]["engine"], after["stable"]["engine"]}
    assert (after["replicas"], after["readyReplicas"], after["table"]["of"]) == (1, 1, 2)
    server.merge(kinds.LLM_DEPLOYMENT, namespace, "only", {"spec": {"rollout": None}})
    until(lambda: server.get(kinds.DEPLOYMENT, namespace, "only-entry") is None, timeout_s=20, what="the entry gone")


def test_a_prompt_edit_reaches_the_pods_that_are_there_at_once(server: Server, namespace: str) -> None:
    server.create(llm_prompt("support", namespace), namespace)
    prompt = {"ref": {"name": "support"}, "updatePolicy": "Rollout"}
    server.create(llm_deployment("prompted", namespace, prompt=prompt), namespace)
    before = wait_settled(server, namespace, "prompted")["status"]
    until(lambda: server.status(namespace, "support", kinds.LLM_PROMPT).get("usedBy") == ["prompted"], timeout_s=10, what="usedBy")
    pods = {pod["metadata"]["uid"] for pod in server.engine_pods(namespace, "prompted")}
    server.merge(kinds.LLM_PROMPT, namespace, "support", {"spec": {"system": "Be thorough."}})
    until(lambda: server.status(namespace, "prompted")["latestRevision"] != before["latestRevision"], timeout_s=10, what="a new revision")
    after = wait_settled(server, namespace, "prompted", timeout_s=10)["status"]
    assert after["table"]["generation"] > before["table"]["generation"]
    assert after["stable"]["engine"] == before["stable"]["engine"]
    assert {pod["metadata"]["uid"] for pod in server.engine_pods(namespace, "prompted")} == pods


def test_a_bundle_one_pod_cannot_run_is_held_back_and_the_pod_named(server: Server, namespace: str, stage: Stage) -> None:
    server.create(llm_deployment("choosy", namespace, replicas=3), namespace)
    before = wait_settled(server, namespace, "choosy")["status"]
    pods = sorted(pod["metadata"]["name"] for pod in server.engine_pods(namespace, "choosy"))
    stage.refusing[pods[1]] = "prompt.system: cannot be compiled"
    try:
        server.merge(kinds.LLM_DEPLOYMENT, namespace, "choosy", {"spec": {"prompt": {"inline": {"system": "Be brief."}}}})

        def named() -> Object | None:
            programmed = condition(server.status(namespace, "choosy"), "TableProgrammed")
            return programmed if programmed["reason"] == "BundleRefused" else None

        programmed = until(named, timeout_s=30, what="the pod named")
        assert f"pod {pods[1]}: prompt.system: cannot be compiled" in programmed["message"]
        status = server.status(namespace, "choosy")
        assert status["stable"]["revision"] == before["stable"]["revision"] != status["latestRevision"]
        assert condition(status, "Ready")["status"] == "True"
    finally:
        stage.refusing.clear()
    server.merge(kinds.LLM_DEPLOYMENT, namespace, "choosy", {"spec": {"prompt": {"inline": {"system": "Be very brief."}}}})
    after = wait_settled(server, namespace, "choosy")["status"]
    assert after["stable"]["revision"] == after["latestRevision"] != status["latestRevision"]
    assert sorted(pod["metadata"]["name"] for pod in server.engine_pods(namespace, "choosy")) == pods


def test_a_name_that_is_taken_is_left_alone_and_named_until_it_is_free(server: Server, namespace: str) -> None:
    ports = [{"name": "http", "port": 80}]
    foreign = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "squat"}, "spec": {"ports": ports, "selector": {"app": "other"}}}
    server.create(foreign, namespace)
    version = server.must(kinds.SERVICE, namespace, "squat")["metadata"]["resourceVersion"]
    server.create(llm_deployment("squat", namespace), namespace)
    until(lambda: server.status(namespace, "squat").get("reason") == "NameConflict", timeout_s=20, what="NameConflict")
    assert "Service squat" in condition(server.status(namespace, "squat"), "Stalled")["message"]
    assert server.must(kinds.SERVICE, namespace, "squat")["metadata"]["resourceVersion"] == version
    server.delete(kinds.SERVICE, namespace, "squat")
    wait_settled(server, namespace, "squat", timeout_s=60)


def test_a_foreign_object_without_any_common_field_is_not_merged_into(server: Server, namespace: str) -> None:
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "quiet-snapshot"}, "data": {"theirs": "1"}}
    server.create(foreign, namespace)
    server.create(llm_deployment("quiet", namespace), namespace)
    until(lambda: server.status(namespace, "quiet").get("reason") == "NameConflict", timeout_s=20, what="NameConflict")
    assert server.must(kinds.CONFIG_MAP, namespace, "quiet-snapshot")["data"] == {"theirs": "1"}


def test_a_refusal_of_the_server_is_shown_and_overcome_without_a_change_of_the_spec(server: Server, namespace: str) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"count/deployments.apps": "0"}}}
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    server._api.json(path, method="POST", body=quota)
    until(lambda: server.raw(f"{path}/none")["status"].get("hard"), timeout_s=20, what="the quota in force")
    server.create(llm_deployment("refused", namespace), namespace)
    until(lambda: server.status(namespace, "refused").get("reason") == "Refused", timeout_s=30, what="the refusal shown")
    stalled = condition(server.status(namespace, "refused"), "Stalled")
    assert stalled["status"] == "True"
    engine = server.status(namespace, "refused")["canary"]["engine"]
    assert stalled["message"].startswith(f"the API server refused Deployment refused-{engine}: ")
    assert "exceeded quota" in stalled["message"]
    server._api.json(f"{path}/none", method="DELETE")
    wait_settled(server, namespace, "refused", timeout_s=60)


def test_the_good_revision_serves_on_when_the_next_spec_cannot_work(server: Server, namespace: str) -> None:
    server.create(llm_deployment("good", namespace), namespace)
    wait_settled(server, namespace, "good")
    wait_counted(server, namespace, "good")
    (before,) = server.children(namespace, "good", kinds.DEPLOYMENT)
    server.merge(kinds.LLM_DEPLOYMENT, namespace, "good", {"spec": {"accelerator": {"profile": "unknown"}}})
    until(lambda: condition(server.status(namespace, "good"), "Stalled").get("status") == "True", timeout_s=10, what="Stalled")
    status = server.status(namespace, "good")
    assert condition(status, "Ready")["status"] == "True"
    (after,) = server.children(namespace, "good", kinds.DEPLOYMENT)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    server.merge(kinds.LLM_DEPLOYMENT, namespace, "good", {"spec": {"accelerator": {"profile": "cpu"}}})
    wait_settled(server, namespace, "good")


@pytest.fixture
def doomed(server: Server, namespace: str) -> Iterator[Object]:
    server.create(llm_deployment("doomed", namespace), namespace)
    yield wait_settled(server, namespace, "doomed")
    if server.get(kinds.LLM_DEPLOYMENT, namespace, "doomed"):
        server.delete(kinds.LLM_DEPLOYMENT, namespace, "doomed")
        until(lambda: not server.get(kinds.LLM_DEPLOYMENT, namespace, "doomed"), timeout_s=10, what="doomed gone")


@pytest.mark.usefixtures("doomed")
def test_a_deleted_llmdeployment_takes_all_its_children_along(server: Server, namespace: str) -> None:
    server.delete(kinds.LLM_DEPLOYMENT, namespace, "doomed")

    def left() -> list[str]:
        return [
            f"{kind.kind} {each['metadata']['name']}" for kind in (*OWNED, kinds.POD) for each in server.children(namespace, "doomed", kind)
        ]

    until(lambda: not left(), timeout_s=30, what="children collected")


def test_one_deleted_and_made_again_at_once_gets_a_whole_new_set(server: Server, namespace: str, doomed: Object) -> None:
    old = {each["metadata"]["uid"] for kind in OWNED for each in server.children(namespace, "doomed", kind)}
    server.delete(kinds.LLM_DEPLOYMENT, namespace, "doomed")
    server.create(llm_deployment("doomed", namespace), namespace)
    again = wait_settled(server, namespace, "doomed", timeout_s=90)
    assert again["metadata"]["uid"] != doomed["metadata"]["uid"]

    def renewed() -> bool:
        children = [each for kind in OWNED for each in server.children(namespace, "doomed", kind)]
        owners = {owner["uid"] for each in children for owner in each["metadata"]["ownerReferences"]}
        return owners == {again["metadata"]["uid"]} and not old & {each["metadata"]["uid"] for each in children}

    until(renewed, timeout_s=30, what="only children of the new one")
