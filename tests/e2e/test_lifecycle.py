"""Create, scale, damage, change and recreate an LLMDeployment on a real node. The engine is the stub; everything else is real."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e import figures, kit
from tests.e2e.manifests import deployment
from tests.lab.wait import until

NS = "llm-e2e"


@pytest.fixture(scope="module")
def deployed(platform: None) -> Iterator[None]:  # noqa: ARG001  # the platform must be up first
    """One settled LLMDeployment that the tests of this file share."""
    kit.apply(deployment(), namespace=NS)
    kit.wait_settled("chat", NS)
    yield
    kit.kubectl("-n", NS, "delete", "llm", "chat", "--ignore-not-found", "--wait=true")


@pytest.fixture
def chat(deployed: None) -> str:  # noqa: ARG001  # the deployment must be up first
    """Return its address, which is another one after a test that deletes the Service."""
    return kit.address("chat", NS)


def test_a_created_deployment_answers_on_every_route(chat: str) -> None:
    revision = kit.llm("chat", NS)["status"]["stable"]["revision"]
    answer = kit.chat(chat, max_tokens=8)
    assert answer.status == 200, answer.body
    assert answer.headers["x-llm-revision"] == revision
    assert answer.json()["choices"][0]["message"]["content"]
    models = kit.request(chat, "GET", "/v1/models").json()
    assert [model["id"] for model in models["data"]] == ["chat"]
    generated = kit.request(
        chat, "POST", "/generate", {"prompt": "Once", "max_tokens": 8, "temperature": 0.7, "top_p": 0.9, "stop": ["\n"]}
    )
    assert generated.status == 200, generated.body
    assert generated.json()["text"][0].startswith("Once")
    completed = kit.request(chat, "POST", "/v1/completions", {"model": "chat", "prompt": "Once", "max_tokens": 8})
    assert completed.json()["choices"][0]["text"]


def test_kubectl_get_tells_where_it_stands(chat: str) -> None:  # noqa: ARG001
    table = kit.kubectl("-n", NS, "get", "llm", "chat")
    print(table)  # noqa: T201
    header, row = table.splitlines()
    assert header.split() == ["NAME", "READY", "PHASE", "REPLICAS", "STABLE", "CANARY", "WEIGHT", "AGE"]
    assert row.split()[:4] == ["chat", "True", "Ready", "1"]


def test_the_engine_is_out_of_reach_from_outside_its_pod(chat: str) -> None:  # noqa: ARG001
    pod_ip = kit.pods_of("chat", NS)[0]["status"]["podIP"]
    with pytest.raises(ConnectionRefusedError):
        kit.request(pod_ip, "GET", "/v1/models", port=8000, timeout_s=5)


def test_scale_from_one_to_three_and_back(chat: str) -> None:
    kit.kubectl("-n", NS, "scale", "llm", "chat", "--replicas=3")
    kit.wait_settled("chat", NS, replicas=3)
    with kit.Load(chat, every_s=0.05) as load:
        kit.kubectl("-n", NS, "scale", "llm", "chat", "--replicas=1")
        kit.wait_settled("chat", NS, replicas=1)
    assert load.sent > 0
    assert load.failures == []


def _damage(kind: str) -> str:
    """Return a merge patch that changes a field the operator owns."""
    patches = {
        "deployment": {"spec": {"replicas": 0}},
        "service": {"spec": {"selector": {"llmops.dev/deployment": "nobody"}}},
        "configmap": {"data": {"table.json": "{}"}},
        "poddisruptionbudget": {"spec": {"maxUnavailable": 3}},
        "networkpolicy": {"spec": {"ingress": []}},
    }
    return json.dumps(patches[kind])


def _content(owned: kit.Object) -> kit.Object:
    """Return what must come back: a broken table is replaced by one of a higher generation, everything else as it was."""
    if "table.json" not in owned.get("data", {}):
        return owned
    table = json.loads(owned["data"]["table.json"])
    return {"data": {**owned["data"], "table.json": {**table, "generation": "any"}}}


@pytest.mark.parametrize("kind", ["deployment", "service", "configmap", "poddisruptionbudget", "networkpolicy"])
def test_an_edited_child_is_restored(chat: str, kind: str) -> None:  # noqa: ARG001
    for child in kit.items(kind, NS, "llmops.dev/deployment=chat"):
        name = child["metadata"]["name"]
        before: kit.Object = {key: child[key] for key in ("spec", "data") if key in child}
        kit.kubectl("-n", NS, "patch", kind, name, "--type=merge", "-p", _damage(kind))

        def restored(name: str = name, before: kit.Object = before) -> bool:
            now = kit.get(kind, name, NS)
            return now is not None and _content({key: now[key] for key in before}) == _content(before)

        kit.seconds_until(restored, timeout_s=figures.within(10), what=f"edited {kind} {name} restored")
    kit.wait_settled("chat", NS)


@pytest.mark.parametrize("kind", ["controllerrevision", "poddisruptionbudget", "networkpolicy", "service", "configmap", "deployment"])
def test_a_deleted_child_is_made_again(chat: str, kind: str) -> None:  # noqa: ARG001
    stable = kit.llm("chat", NS)["status"]["stable"]
    live = {f"chat-{stable['engine']}", f"chat-{stable['revision']}"}
    for child in kit.items(kind, NS, "llmops.dev/deployment=chat"):
        name, uid = child["metadata"]["name"], child["metadata"]["uid"]
        if kind == "controllerrevision" and name not in live:
            continue  # history, which nothing brings back
        kit.kubectl("-n", NS, "delete", kind, name, "--wait=false")

        def made_again(name: str = name, uid: str = uid) -> bool:
            now = kit.get(kind, name, NS)
            return now is not None and now["metadata"]["uid"] != uid

        kit.seconds_until(made_again, timeout_s=figures.within(10), what=f"deleted {kind} {name} made again")
    kit.wait_settled("chat", NS)


def test_a_pod_deleted_under_a_stream_finishes_the_stream_and_new_requests_go_elsewhere(chat: str) -> None:
    kit.kubectl("-n", NS, "scale", "llm", "chat", "--replicas=2")
    kit.wait_settled("chat", NS, replicas=2)
    streams = [kit.Stream(chat, tokens=200).start() for _ in range(4)]
    victims = {pod["metadata"]["name"] for pod in kit.pods_of("chat", NS)}
    victim = min(victims)
    with kit.Load(chat, every_s=0.05) as load:
        kit.kubectl("-n", NS, "delete", "pod", victim, "--wait=false")
        ended = [stream.finish() for stream in streams]
        until(lambda: kit.get("pod", victim, NS) is None, timeout_s=120, what=f"pod {victim} gone")
    assert [stream.error for stream in ended] == ["", "", "", ""]
    assert load.failures == []
    assert load.sent > 10
    kit.kubectl("-n", NS, "scale", "llm", "chat", "--replicas=1")
    kit.wait_settled("chat", NS)


def test_an_engine_edit_brings_the_new_engine_up_beside_the_old_and_then_removes_it(chat: str) -> None:
    old = kit.llm("chat", NS)["status"]["stable"]
    with kit.Load(chat, every_s=0.05) as load:
        kit.apply(deployment(engine={"maxModelLen": 1024}), namespace=NS)
        now = kit.wait_settled("chat", NS)
        until(lambda: len(kit.items("deployments", NS, "llmops.dev/deployment=chat")) == 1, timeout_s=60, what="one Deployment left")
    stable = now["status"]["stable"]
    assert stable["engine"] != old["engine"]
    assert stable["revision"] != old["revision"]
    assert load.failures == []
    assert {old["revision"], stable["revision"]} >= set(load.revisions)


def test_delete_and_recreate_under_the_same_name_at_once(chat: str) -> None:  # noqa: ARG001
    old = kit.llm("chat", NS)["metadata"]["uid"]
    kit.kubectl("-n", NS, "delete", "llm", "chat", "--wait=false")
    kit.apply(deployment(), namespace=NS)
    now = kit.wait_settled("chat", NS)
    assert now["metadata"]["uid"] != old
    for kind in ("deployments", "services", "configmaps", "controllerrevisions", "networkpolicies", "poddisruptionbudgets"):
        for child in kit.items(kind, NS, "llmops.dev/deployment=chat"):
            assert child["metadata"]["ownerReferences"][0]["uid"] == now["metadata"]["uid"], child["metadata"]["name"]
