"""Whether an apply would change anything is decided without asking the server; here the server is asked."""

import asyncio
import copy
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from llm_operator.core import kinds
from llm_operator.core.actions import Apply, Plan
from llm_operator.core.diff import differs
from llm_operator.core.kinds import Kind
from llm_operator.core.names import FIELD_MANAGER
from llm_operator.core.observed import Children, Observed
from llm_operator.core.plan import plan
from llm_operator.shell.cluster import connect
from llm_operator.shell.errors import ConflictError
from llm_operator.shell.execute import execute
from llm_operator.shell.news import Seen
from llm_operator.shell.observe import Eye
from llm_operator.shell.queue import Key
from llm_sidecar.table import PEERS_KEY, TABLE_KEY
from tests.fakes.objects import llm_deployment, llm_prompt, operator_config
from tests.fakes.telemetry import FakeTelemetry
from tests.integration.server import Server
from tests.integration.test_lifecycle import RESTORED_S, content, wait_counted, wait_settled
from tests.lab.wait import until

Object = dict[str, Any]

RICH: Object = {
    "engine": {
        "gpuMemoryUtilization": 0.85,
        "maxModelLen": 8192,
        "args": {"enable-prefix-caching": "true", "max-num-seqs": "64"},
        "resources": {"cpu": "1500m", "memory": "2048Mi", "shm": "512Mi"},
        "startup": {"timeout": "90m"},
    },
    "accelerator": {"profile": "nvidia", "count": 2},
    "model": {"source": "s3://models/tiny", "credentials": {"secretName": "models"}, "servedName": "tiny"},
    "prompt": {"ref": {"name": "support"}},
    "limits": {"maxBodyBytes": "1Mi", "totalTimeout": "1h"},
    "drain": {"minimum": "5s", "maxStream": "30m"},
    "replicas": 2,
}
SPECS: dict[str, Object] = {
    "plain": {},
    "rich": RICH,
    "volume": {"model": {"source": "pvc://models/tiny"}},
}


@pytest.fixture(scope="module", params=SPECS)
def name(request: pytest.FixtureRequest, server: Server, namespace: str) -> str:
    spec = SPECS[request.param]
    if "prompt" in spec:
        server.create(llm_prompt("support", namespace), namespace)
    server.create(llm_deployment(request.param, namespace, **spec), namespace)
    wait_settled(server, namespace, request.param)
    wait_counted(server, namespace, request.param)
    if spec.get("replicas", 1) > 1:  # pods learn of each other a moment after all is settled
        snapshot = f"{request.param}-snapshot"
        until(lambda: PEERS_KEY in server.must(kinds.CONFIG_MAP, namespace, snapshot)["data"], timeout_s=60, what="the peers told")
    return str(request.param)


@pytest.fixture
def look(namespace: str, account: str, name: str) -> Callable[[], Observed]:
    """Return a look at the deployment through the operator's own client."""

    async def once() -> Observed:
        cluster = await connect("llm-operator/look", account)
        try:
            eye = Eye(cluster, FakeTelemetry(), Seen(), lambda: datetime.now(UTC), lambda: 0.0)
            look = await eye.look(Key("LLMDeployment", namespace, name))
        finally:
            await cluster.close()
        assert look is not None
        return look.observed

    return lambda: asyncio.run(once())


def desired(seen: Observed) -> dict[tuple[Kind, str], Object]:
    """Return all objects a plan would make if none of them were there."""
    nothing = dataclasses.replace(seen, children=Children(controller_revisions=seen.children.controller_revisions), pods=())
    made = plan(nothing, operator_config(), datetime.now(UTC)).applies
    revisions = plan(dataclasses.replace(seen, children=Children(), pods=()), operator_config(), datetime.now(UTC)).applies
    return {(each.kind, each.name): each.object for each in (*made, *revisions) if each.kind != kinds.JOB}


def live(seen: Observed) -> dict[tuple[Kind, str], Object]:
    return {(kind, child["metadata"]["name"]): child for kind, child in seen.children.by_kind()}


def apply(manifest: Object, found: Object, account: str) -> Object:
    """Apply an object over a live one, as the operator does."""

    async def once() -> Object:
        cluster = await connect("llm-operator/apply", account)
        metadata = {**manifest["metadata"], "resourceVersion": found["metadata"]["resourceVersion"]}
        try:
            return await cluster.apply({**manifest, "metadata": metadata}, force=True)
        finally:
            await cluster.close()

    return asyncio.run(once())


def test_a_second_apply_of_any_kind_changes_nothing_and_is_known_to(look: Callable[[], Observed], account: str) -> None:
    seen = look()
    wanted, there = desired(seen), live(seen)
    assert {kind for kind, _ in wanted} >= {*kinds.CHILDREN} - {kinds.JOB}
    assert wanted.keys() == there.keys()
    for key, manifest in wanted.items():
        same = with_live_table(manifest, there[key])
        assert not differs(same, there[key], FIELD_MANAGER), f"{key} is thought to differ"
        again = apply(same, there[key], account)
        assert again["metadata"]["resourceVersion"] == there[key]["metadata"]["resourceVersion"], f"{key} was changed by a second apply"


def with_live_table(manifest: Object, found: Object) -> Object:
    """Return a snapshot under the generations it has: without the live one a plan would number table and peers anew."""
    if manifest["kind"] != kinds.CONFIG_MAP.kind:
        return manifest
    numbered = {key: text for key, text in found["data"].items() if key in {TABLE_KEY, PEERS_KEY}}
    return {**manifest, "data": manifest["data"] | numbered}


def test_whatever_leaf_is_changed_the_difference_is_seen(look: Callable[[], Observed]) -> None:
    seen = look()
    wanted, there = desired(seen), live(seen)
    tried = 0
    for (kind, name), manifest in wanted.items():
        same = with_live_table(manifest, there[kind, name])
        for path in leaves(same):
            if path[0] in {"apiVersion", "kind"} or path[:2] in {("metadata", "name"), ("metadata", "namespace")}:
                continue
            wrong = without(there[kind, name], path)
            assert wrong is not None, f"{kind.kind}: the server does not keep {path}"
            assert differs(same, wrong, FIELD_MANAGER), f"{kind.kind}: {path} is not looked at"
            tried += 1
    assert tried > 150


def extra_env(manifest: Object) -> None:
    """Add a variable to the engine's environment, as an earlier version may have rendered it."""
    manifest["spec"]["template"]["spec"]["containers"][0].setdefault("env", []).append({"name": "OLD", "value": "1"})


EXTRA: dict[Kind, Callable[[Object], Any]] = {
    kinds.DEPLOYMENT: extra_env,
    kinds.SERVICE: lambda manifest: manifest["spec"]["ports"].append({"name": "old", "port": 81, "protocol": "TCP", "targetPort": 81}),
    kinds.CONFIG_MAP: lambda manifest: manifest["data"].update(old="1"),
    kinds.POD_DISRUPTION_BUDGET: lambda manifest: manifest["spec"].update(unhealthyPodEvictionPolicy="IfHealthyBudget"),
    kinds.NETWORK_POLICY: lambda manifest: manifest["spec"]["ingress"].append({"ports": [{"port": 81, "protocol": "TCP"}]}),
    kinds.CONTROLLER_REVISION: lambda manifest: manifest["metadata"]["labels"].update(old="1"),
}


@pytest.mark.parametrize("kind", EXTRA, ids=lambda kind: kind.kind)
def test_a_field_that_an_earlier_version_rendered_is_taken_away(
    look: Callable[[], Observed], account: str, server: Server, namespace: str, name: str, kind: Kind
) -> None:
    seen = look()
    there = live(seen)
    for (each, child), manifest in desired(seen).items():
        if each != kind:
            continue
        older = copy.deepcopy(with_live_table(manifest, there[kind, child]))
        EXTRA[kind](older)
        assert kept(apply(older, there[kind, child], account)) != kept(there[kind, child])

        def taken_away(child: str = child) -> bool:
            return kept(server.must(kind, namespace, child)) == kept(there[kind, child])

        until(taken_away, timeout_s=RESTORED_S, what=f"the old field of {kind.kind} {child} gone")
    wait_settled(server, namespace, name)


def kept(child: Object) -> Object:
    """Return of an object what users can set."""
    return {**content(child), "labels": child["metadata"]["labels"]}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all leaves."""
    if isinstance(value, dict) and value:
        return [each for key, item in value.items() for each in leaves(item, (*path, key))]
    if isinstance(value, list) and value:
        return [each for index, item in enumerate(value) for each in leaves(item, (*path, index))]
    return [path]


def without(found: Object, path: tuple[Any, ...]) -> Object | None:
    """Return a live object in which one leaf has another value, or None where the server has none there."""
    wrong = copy.deepcopy(found)
    at: Any = wrong
    for step in path[:-1]:
        try:
            at = at[step]
        except (KeyError, IndexError):
            return None
    last = path[-1]
    if isinstance(at, dict) and last not in at:
        return None
    value = at[last]
    at[last] = {str: f"{value}-else", bool: not value, int: 1}.get(type(value), "else") if value != 1 else 2
    return wrong


def test_an_apply_that_may_only_create_leaves_any_object_that_is_there_alone(look: Callable[[], Observed], account: str) -> None:
    """Every kind: the version that no object has is refused where there is one; the lifecycle shows that it creates where there is none."""

    async def once(manifests: list[Object]) -> list[str]:
        cluster = await connect("llm-operator/apply", account)
        try:
            outcomes = [await execute(cluster, Plan(applies=(Apply(each, force=False),)), "", lambda *_: None) for each in manifests]
        finally:
            await cluster.close()
        return [outcome.taken[1] for outcome in outcomes if outcome.taken]

    wanted = desired(look())
    before = live(look())
    assert asyncio.run(once(list(wanted.values()))) == [name for _, name in wanted]
    after = live(look())
    assert {key: each["metadata"]["resourceVersion"] for key, each in after.items()} == {
        key: each["metadata"]["resourceVersion"] for key, each in before.items()
    }


def test_an_apply_to_what_has_gone_makes_nothing(look: Callable[[], Observed], account: str, server: Server, namespace: str) -> None:
    """Whoever was deleted in the meantime is not made again: the uid of what was seen is a precondition."""

    async def once(manifest: Object) -> None:
        cluster = await connect("llm-operator/apply", account)
        try:
            await execute(cluster, Plan(applies=(Apply(manifest, force=True),)), "", lambda *_: None)
        finally:
            await cluster.close()

    for key, manifest in desired(look()).items():
        seen = live(look())[key]["metadata"]
        gone = {"name": f"gone-{key[1]}", "uid": seen["uid"], "resourceVersion": seen["resourceVersion"]}
        with pytest.raises(ConflictError):
            asyncio.run(once({**manifest, "metadata": {**manifest["metadata"], **gone}}))
        assert server.get(key[0], namespace, gone["name"]) is None
