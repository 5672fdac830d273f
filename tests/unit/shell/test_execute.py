import pytest

from llm_operator.api.routing import Gateway, ParentRef
from llm_operator.core import kinds
from llm_operator.core.actions import Apply, Delete, Mark, Nudge, Plan
from llm_operator.core.render import service
from llm_operator.core.render.meta import Owner
from llm_operator.core.render.route import route
from llm_operator.shell import errors
from llm_operator.shell.execute import Refusal, execute, write_status
from llm_operator.shell.ports import Manifest
from tests.fakes.cluster import Call, FakeCluster, Fault
from tests.fakes.objects import llm_deployment


def config_map(name: str, **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "ns"}, "data": data}


def pod() -> Manifest:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ns"}}


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def wrote() -> list[tuple[str, str]]:
    return []


def refusing(name: str, error: errors.ApiError) -> Fault:
    return Fault(error, lambda call: call.name == name)


NO = errors.InvalidError(422, "Invalid", "denied by policy")


async def test_a_plan_is_carried_out_in_its_order(cluster: FakeCluster, wrote: list[tuple[str, str]]) -> None:
    old = cluster.put(config_map("old"))
    cluster.put(pod())
    plan = Plan(
        applies=(Apply(config_map("b"), force=False), Apply(config_map("a"), force=False)),
        deletes=(Delete(kinds.CONFIG_MAP, "old", old["metadata"]["uid"], "surplus"),),
        nudges=(Nudge("p", 7, "7-1"),),
    )
    outcome = await execute(cluster, plan, "ns", lambda *call: wrote.append(call))
    assert (outcome.refusal, outcome.taken) == (None, None)
    assert [live["metadata"]["name"] for live in outcome.applied] == ["b", "a"]
    assert [(call.verb, call.name) for call in cluster.writes] == [("apply", "b"), ("apply", "a"), ("delete", "old"), ("annotate", "p")]
    assert wrote == [("ConfigMap", "apply"), ("ConfigMap", "apply"), ("ConfigMap", "delete"), ("Pod", "annotate")]
    nudged = cluster.find(kinds.POD, "p")
    assert nudged is not None
    assert nudged["metadata"]["annotations"] == {"llmops.dev/table-generation": "7-1"}


async def test_a_pod_that_is_to_go_is_marked_before_anything_is_applied(cluster: FakeCluster) -> None:
    cluster.put(pod())
    plan = Plan(marks=(Mark("p", -1), Mark("gone", -1)), applies=(Apply(config_map("a"), force=False),))
    await execute(cluster, plan, "ns", lambda *_: None)
    assert [(call.verb, call.name) for call in cluster.writes] == [("annotate", "p"), ("annotate", "gone"), ("apply", "a")]
    marked = cluster.find(kinds.POD, "p")
    assert marked is not None
    assert marked["metadata"]["annotations"] == {"controller.kubernetes.io/pod-deletion-cost": "-1"}


async def test_after_a_refusal_the_other_objects_are_applied_but_nothing_is_deleted(cluster: FakeCluster) -> None:
    old = cluster.put(config_map("old"))
    cluster.faults.append(refusing("a", NO))
    plan = Plan(
        applies=(Apply(config_map("a"), force=False), Apply(config_map("b"), force=False)),
        deletes=(Delete(kinds.CONFIG_MAP, "old", old["metadata"]["uid"], "surplus"),),
    )
    assert (await execute(cluster, plan, "ns", lambda *_: None)).refusal == Refusal("ConfigMap a", "denied by policy")
    assert cluster.find(kinds.CONFIG_MAP, "b") is not None
    assert cluster.find(kinds.CONFIG_MAP, "old") is not None


async def test_a_table_is_not_applied_without_the_services_it_sends_requests_to(cluster: FakeCluster) -> None:
    cluster.faults.append(refusing("chat-e", NO))
    owner = Owner("chat", "ns", "u-1")
    plan = Plan(applies=(Apply(service.engine(owner, "e"), force=False), Apply(config_map("a"), force=False)))
    assert (await execute(cluster, plan, "ns", lambda *_: None)).refusal == Refusal("Service chat-e", "denied by policy")
    assert cluster.find(kinds.CONFIG_MAP, "a") is None


async def test_nothing_relies_on_the_public_service(cluster: FakeCluster) -> None:
    cluster.faults.append(refusing("chat", NO))
    plan = Plan(applies=(Apply(service.public(Owner("chat", "ns", "u-1")), force=False), Apply(config_map("a"), force=False)))
    assert (await execute(cluster, plan, "ns", lambda *_: None)).refusal == Refusal("Service chat", "denied by policy")
    assert cluster.find(kinds.CONFIG_MAP, "a") is not None


@pytest.mark.parametrize(
    "error", [errors.ConflictError(409, "", "changed"), errors.TransientError(503, "", "later"), errors.TerminatingError(403, "", "going")]
)
async def test_any_other_error_ends_the_pass(cluster: FakeCluster, error: errors.ApiError) -> None:
    live = cluster.put(config_map("a"))
    cluster.faults.append(refusing("a", error))
    with pytest.raises(type(error)):
        await execute(cluster, Plan(applies=(Apply(live, force=True), Apply(config_map("b"), force=False))), "ns", lambda *_: None)
    assert cluster.find(kinds.CONFIG_MAP, "b") is None


ROUTE = route(Owner("chat", "ns", "u-1"), Gateway(parent_refs=(ParentRef(name="edge"),)))


@pytest.mark.parametrize("error", [NO, errors.ForbiddenError(403, "", "no right"), errors.NotFoundError(404, "", "no such kind")])
async def test_everything_goes_on_without_what_is_optional(cluster: FakeCluster, error: errors.ApiError) -> None:
    old = cluster.put(config_map("old"))
    cluster.faults.append(Fault(error, lambda call: call.kind == "HTTPRoute"))
    plan = Plan(
        applies=(Apply(ROUTE, force=False), Apply(config_map("a"), force=False)),
        deletes=(Delete(kinds.CONFIG_MAP, "old", old["metadata"]["uid"], "surplus"),),
    )
    outcome = await execute(cluster, plan, "ns", lambda *_: None)
    assert (outcome.refusal, outcome.spared) == (None, Refusal("HTTPRoute chat", error.message))
    assert cluster.find(kinds.CONFIG_MAP, "a") is not None
    assert cluster.find(kinds.CONFIG_MAP, "old") is None


async def test_what_is_optional_may_stay_where_it_cannot_be_deleted(cluster: FakeCluster, wrote: list[tuple[str, str]]) -> None:
    live, old = cluster.put(ROUTE), cluster.put(config_map("old"))
    cluster.faults.append(Fault(NO, lambda call: call == Call("delete", "HTTPRoute", "chat")))
    deletes = (
        Delete(kinds.HTTP_ROUTE, "chat", live["metadata"]["uid"], "surplus"),
        Delete(kinds.CONFIG_MAP, "old", old["metadata"]["uid"], "surplus"),
    )
    outcome = await execute(cluster, Plan(deletes=deletes), "ns", lambda *call: wrote.append(call))
    assert outcome.spared == Refusal("the deletion of HTTPRoute chat", "denied by policy")
    assert wrote == [("ConfigMap", "delete")]


@pytest.mark.parametrize("error", [NO, errors.NotFoundError(404, "", "no such kind")])
async def test_nothing_else_is_optional(cluster: FakeCluster, error: errors.ApiError) -> None:
    live = cluster.put(config_map("a"))
    cluster.faults.append(refusing("a", error))
    plan = Plan(applies=(Apply(live, force=True),)) if isinstance(error, errors.NotFoundError) else None
    deletion = Plan(deletes=(Delete(kinds.CONFIG_MAP, "a", live["metadata"]["uid"], "surplus"),))
    with pytest.raises(type(error)):
        await execute(cluster, plan or deletion, "ns", lambda *_: None)


async def test_a_first_apply_never_touches_what_is_there(cluster: FakeCluster) -> None:
    theirs = cluster.put(config_map("a", theirs="1"))
    plan = Plan(applies=(Apply(config_map("a", ours="1"), force=False), Apply(config_map("b"), force=False)))
    outcome = await execute(cluster, plan, "ns", lambda *_: None)
    assert outcome.taken == (kinds.CONFIG_MAP, "a")
    assert cluster.find(kinds.CONFIG_MAP, "a") == theirs
    assert cluster.find(kinds.CONFIG_MAP, "b") is None, "half a deployment helps nobody"


async def test_a_first_apply_asks_nothing_before_it_writes(cluster: FakeCluster) -> None:
    await execute(cluster, Plan(applies=(Apply(config_map("a"), force=False),)), "ns", lambda *_: None)
    assert [call.verb for call in cluster.calls] == ["apply"]


@pytest.mark.parametrize("error", [NO, errors.ForbiddenError(403, "", "no right"), errors.NotFoundError(404, "", "gone")])
async def test_without_the_right_or_the_pod_a_nudge_is_left_out(cluster: FakeCluster, error: errors.ApiError) -> None:
    cluster.faults.append(Fault(error, lambda call: call == Call("annotate", "Pod", "p")))
    assert (await execute(cluster, Plan(nudges=(Nudge("p", 7, "7"),)), "ns", lambda *_: None)).refusal is None
    assert cluster.faults[0].fired == 1


async def test_only_the_object_with_that_uid_is_deleted(cluster: FakeCluster) -> None:
    cluster.put(config_map("old"))
    await execute(cluster, Plan(deletes=(Delete(kinds.CONFIG_MAP, "old", "another", "surplus"),)), "ns", lambda *_: None)
    assert cluster.find(kinds.CONFIG_MAP, "old") is not None


async def test_a_status_is_written_only_when_it_says_something_else(cluster: FakeCluster) -> None:
    observed = cluster.put(llm_deployment())
    assert await write_status(cluster, observed, {"phase": "Ready"}, lambda *_: None)
    observed = cluster.objects["LLMDeployment", "ns", "chat"]
    assert not await write_status(cluster, observed, {"phase": "Ready"}, lambda *_: None)
    assert [call.verb for call in cluster.writes] == ["status"]


async def test_a_status_computed_from_an_older_object_is_not_written(cluster: FakeCluster) -> None:
    observed = cluster.put(llm_deployment())
    cluster.edit(kinds.LLM_DEPLOYMENT, "chat", lambda live: live["spec"].update(replicas=3))
    with pytest.raises(errors.ConflictError):
        await write_status(cluster, observed, {"phase": "Ready"}, lambda *_: None)
