"""One look at a time over a cluster in memory, with the real plan."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llm_operator.core import kinds, names
from llm_operator.core.actions import Plan
from llm_operator.core.observed import Observed, SidecarReport
from llm_operator.core.telemetry.replies import Heard, read
from llm_operator.shell import errors
from llm_operator.shell.checker import Checker
from llm_operator.shell.inbox import Inbox
from llm_operator.shell.metrics import Metrics
from llm_operator.shell.news import Seen, hint
from llm_operator.shell.observe import Eye
from llm_operator.shell.ports import Manifest
from llm_operator.shell.queue import Key, Result
from llm_operator.shell.reconcile import Reconciler
from llm_operator.shell.survey import Surveyor
from llm_sidecar import table
from llm_sidecar.prompt_tests import check
from llm_sidecar.statistics import Statistics
from tests.fakes.cluster import Call, FakeCluster, Fault
from tests.fakes.objects import engine_pod, job_pod, llm_deployment, llm_prompt, operator_config, resolver_answer
from tests.fakes.telemetry import FakeTelemetry

CHAT = Key("LLMDeployment", "ns", "chat")
SUPPORT = Key("LLMPrompt", "ns", "support")


@dataclasses.dataclass
class World:
    """A cluster, its telemetry, a clock, and a reconciler over them."""

    cluster: FakeCluster
    telemetry: FakeTelemetry
    reconciler: Reconciler
    added: list[Key]
    moment: datetime
    counters: Statistics = dataclasses.field(default_factory=lambda: Statistics("chat"))

    async def look(self, key: Key = CHAT) -> Result:
        """Look at everything of a key, as after a start."""
        self.reconciler.inbox.doubt(key)
        return await self.reconciler(key)

    async def settle(self, looks: int = 8) -> Result:
        """Look as often as the queue would within a few seconds, and let Job and Deployment controllers do their part."""
        result = Result()
        for _ in range(looks):
            result = await self.look()
            self.moment += timedelta(seconds=1)
            self._controllers()
        return result

    async def until_quiet(self, looks: int) -> None:
        """Look until two looks in a row have written nothing, and no more often than this."""
        quiet = 0
        while quiet < 2 and looks:
            before = len(self.cluster.writes)
            await self.settle(1)
            quiet, looks = (quiet + 1 if len(self.cluster.writes) == before else 0), looks - 1

    def deployments(self) -> list[Manifest]:
        return self.cluster.all(kinds.DEPLOYMENT)

    def status(self, kind: kinds.Kind = kinds.LLM_DEPLOYMENT, name: str = "chat") -> dict[str, Any]:
        found = self.cluster.find(kind, name)
        assert found is not None
        return dict(found.get("status", {}))

    def condition(self, kind: str) -> dict[str, Any]:
        return next(dict(each) for each in self.status()["conditions"] if each["type"] == kind)

    def _controllers(self) -> None:
        for job in self.cluster.all(kinds.JOB):
            pod = job_pod(job, resolver_answer())
            if not self.cluster.find(kinds.POD, pod["metadata"]["name"]):
                self.cluster.put(pod)
        for deployment in self.deployments():
            for number in range(deployment["spec"]["replicas"]):
                name = f"{deployment['metadata']['name']}-{number}"
                pod = self.cluster.find(kinds.POD, name) or self.cluster.put(engine_pod(deployment, name))
                self._sidecar(pod)

    def _sidecar(self, pod: Manifest) -> None:
        snapshot = self.cluster.find(kinds.CONFIG_MAP, "chat-snapshot")
        engine = pod["metadata"]["labels"].get(names.LABEL_ENGINE, "")
        if snapshot:
            live = table.decode(snapshot["data"][table.TABLE_KEY].encode())
            route = live.for_engine(engine) if engine else None
            report = SidecarReport(engine=engine, revision=route.revision if route else "", generation=live.generation, ready=True)
            self.telemetry.reported[pod["metadata"]["uid"]] = report


@pytest.fixture
def world() -> World:
    added: list[Key] = []
    cluster, telemetry = FakeCluster(), FakeTelemetry()
    seen = Seen()
    reconciler = Reconciler(
        cluster=cluster,
        eye=Eye(cluster, telemetry, seen, lambda: made.moment, lambda: 0.0),
        inbox=Inbox(lambda key, _: added.append(key), seen),
        config=operator_config(),
        check=check,
        try_out=check,
        now=lambda: made.moment,
        clock=lambda: 0.0,
        metrics=Metrics(),
        instance="operator-1",
    )
    made = World(cluster, telemetry, reconciler, added, datetime(2026, 1, 1, tzinfo=UTC))
    return made


def refusing(kind: str) -> Callable[[Call], bool]:
    return lambda call: call.verb == "apply" and call.kind == kind


async def test_an_llmdeployment_becomes_its_children_and_says_it_serves(world: World) -> None:
    world.cluster.put(llm_deployment())
    await world.settle()
    kinds_there = {kind for kind, _, name in world.cluster.objects if name.startswith("chat")}
    assert {"Deployment", "Service", "ConfigMap", "ControllerRevision", "PodDisruptionBudget", "NetworkPolicy"} <= kinds_there
    assert world.status()["phase"] == "Ready"
    assert world.condition("Ready")["status"] == "True"


@pytest.mark.parametrize(("template", "phase"), [("Answer: {{ prompt }}", "Ready"), ("{{ prompt }} {{ unknown }}", "Stalled")])
async def test_a_bundle_is_tried_out_once_before_anything_is_made_of_it(world: World, template: str, phase: str) -> None:
    with Checker() as checker:
        world.reconciler.check, world.reconciler.try_out = checker.known, checker
        world.cluster.put(llm_deployment(prompt={"inline": {"template": template}}))
        await world.settle()
    assert world.status()["phase"] == phase


async def test_every_child_belongs_to_the_llmdeployment_and_can_be_found_by_label(world: World) -> None:
    owner = world.cluster.put(llm_deployment())["metadata"]["uid"]
    await world.settle()
    children = [live for (kind, _, _), live in world.cluster.objects.items() if kind not in {"LLMDeployment", "Pod", "Event"}]
    for child in children:
        assert child["metadata"]["ownerReferences"][0]["uid"] == owner
        assert names.managed_labels("chat").items() <= child["metadata"]["labels"].items()


async def test_at_rest_nothing_is_written(world: World) -> None:
    world.cluster.put(llm_deployment())
    await world.settle()
    world.cluster.calls.clear()
    result = await world.settle(3)
    assert world.cluster.writes == []
    assert result == Result()


@pytest.mark.parametrize("kind", [kinds.DEPLOYMENT, kinds.CONFIG_MAP, kinds.POD_DISRUPTION_BUDGET, kinds.NETWORK_POLICY, kinds.SERVICE])
async def test_a_child_that_is_deleted_comes_back(world: World, kind: kinds.Kind) -> None:
    world.cluster.put(llm_deployment())
    await world.settle()
    lost = world.cluster.all(kind)[0]["metadata"]["name"]
    world.cluster.remove(kind, lost)
    await world.look()
    assert world.cluster.find(kind, lost) is not None


async def test_a_child_that_is_edited_is_set_right(world: World) -> None:
    world.cluster.put(llm_deployment())
    await world.settle()
    name = world.deployments()[0]["metadata"]["name"]
    world.cluster.edit(kinds.DEPLOYMENT, name, lambda live: live["spec"].update(replicas=7))
    await world.look()
    assert world.deployments()[0]["spec"]["replicas"] == 1


async def test_a_foreign_object_under_our_name_is_left_alone_and_named(world: World) -> None:
    theirs = world.cluster.put(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "chat"}, "spec": {"selector": {"app": "other"}}}
    )
    world.cluster.put(llm_deployment())
    await world.settle()
    assert world.cluster.find(kinds.SERVICE, "chat") == theirs
    assert world.status()["reason"] == "NameConflict"
    assert "Service chat" in world.condition("Stalled")["message"]
    world.cluster.remove(kinds.SERVICE, "chat")
    await world.settle()
    assert world.status()["phase"] == "Ready"


@pytest.mark.parametrize(("kind", "name"), [("Service", "chat"), ("ConfigMap", "chat-snapshot"), ("NetworkPolicy", "chat")])
async def test_while_a_name_is_taken_nothing_is_written(world: World, kind: str, name: str) -> None:
    api_version = kinds.BY_KIND[kind].api_version
    world.cluster.put({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": {}})
    world.cluster.put(llm_deployment())
    await world.settle()
    assert world.status()["reason"] == "NameConflict"
    world.cluster.calls.clear()
    await world.settle(3)
    assert world.cluster.writes == []


@pytest.mark.parametrize("kind", [kind.kind for kind in kinds.CHILDREN if kind != kinds.JOB])
async def test_a_refusal_that_lasts_leads_to_no_write_but_the_next_try(world: World, kind: str) -> None:
    world.cluster.faults.append(Fault(errors.ForbiddenError(403, "Forbidden", "exceeded quota"), refusing(kind), times=1_000))
    world.cluster.put(llm_deployment())
    await world.settle()
    assert world.status()["reason"] == "Refused"
    world.cluster.calls.clear()
    await world.settle(3)
    assert {(call.verb, call.kind) for call in world.cluster.writes} == {("apply", kind)}


async def test_a_refusal_of_the_server_is_shown_in_its_words_and_tried_again(world: World) -> None:
    refusal = errors.ForbiddenError(403, "Forbidden", "exceeded quota: gpus", "PATCH /apis/apps/v1/namespaces/ns/deployments/chat-x")
    fault = Fault(refusal, refusing("Deployment"), times=100)
    world.cluster.faults.append(fault)
    world.cluster.put(llm_deployment())
    result = await world.settle()
    assert result.failed
    assert world.status()["phase"] == "Stalled"
    assert "exceeded quota: gpus" in world.condition("Stalled")["message"]
    assert world.cluster.find(kinds.POD_DISRUPTION_BUDGET, "chat") is not None, "the other children are there all the same"
    world.cluster.calls.clear()
    await world.look()
    assert {call.verb for call in world.cluster.writes} == {"apply"}, "the same refusal is not reported twice"
    world.cluster.faults.clear()
    await world.settle()
    assert world.status()["phase"] == "Ready"


@pytest.mark.parametrize(("status", "patience_s"), [(0, 15.0), (503, 300.0)], ids=["no answer", "an answer"])
async def test_an_api_server_that_does_not_answer_is_asked_again_soon(world: World, status: int, patience_s: float) -> None:
    world.cluster.put(llm_deployment())
    world.cluster.faults.append(Fault(errors.TransientError(status, "", "away"), lambda call: call.verb == "get"))
    result = await world.look()
    assert (result.failed, result.patience_s) == (True, patience_s)


@pytest.mark.component
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "error",
    [
        errors.ConflictError(409, "Conflict", "the object has been modified"),
        errors.TransientError(503, "ServiceUnavailable", "later", retry_after_s=4.0),
        errors.TransientError(0, "Timeout", "the API server did not answer in time"),
        errors.InvalidError(422, "Invalid", "denied by policy"),
        errors.NotFoundError(404, "NotFound", "gone"),
    ],
    ids=lambda error: error.reason,
)
async def test_whatever_write_fails_the_end_is_the_same(world: World, error: errors.ApiError, after: bool) -> None:
    world.cluster.put(llm_deployment())
    await world.settle()
    undisturbed = set(world.cluster.objects)
    writes = 0
    while True:
        disturbed = FakeCluster(faults=[Fault(error, nth_write(writes), after=after)])
        other = dataclasses.replace(world, cluster=disturbed, telemetry=FakeTelemetry())
        seen = Seen()
        eye = dataclasses.replace(world.reconciler.eye, cluster=disturbed, telemetry=other.telemetry, seen=seen)
        inbox = Inbox(lambda key, _: world.added.append(key), seen)
        other.reconciler = dataclasses.replace(world.reconciler, cluster=disturbed, eye=eye, inbox=inbox)
        disturbed.put(llm_deployment() | {"metadata": {"name": "chat", "namespace": "ns", "uid": "uid-1"}})
        await other.until_quiet(12)
        assert {each for each in disturbed.objects if each[0] != "Event"} == {each for each in undisturbed if each[0] != "Event"}
        assert other.status()["phase"] == "Ready"
        if not disturbed.faults[0].fired:
            break
        writes += 1
    assert writes > 8


def nth_write(number: int) -> Callable[[Call], bool]:
    seen = iter(range(1_000_000))
    return lambda call: call.writes and call.kind != "Event" and next(seen) == number


async def test_a_bug_in_one_look_is_retried_and_does_not_escape(world: World) -> None:
    world.cluster.put(llm_deployment())
    world.cluster.faults.append(Fault(RuntimeError("a bug"), lambda call: call.verb == "list"))  # type: ignore[arg-type]  # not an ApiError
    assert (await world.look()).failed


async def test_the_servers_patience_reaches_the_queue(world: World) -> None:
    world.cluster.put(llm_deployment())
    world.cluster.faults.append(
        Fault(errors.TransientError(429, "TooManyRequests", "slow", retry_after_s=7.0), lambda call: call.verb == "get")
    )
    assert await world.look() == Result(failed=True, retry_after_s=7.0)


async def test_a_namespace_that_goes_away_ends_the_work(world: World) -> None:
    world.cluster.put(llm_deployment())
    error = errors.TerminatingError(403, "Forbidden", "namespace ns is being terminated")
    world.cluster.faults.append(Fault(error, lambda call: call.verb == "apply", times=100))
    assert await world.look() == Result()


@pytest.mark.parametrize("gone", [True, False])
async def test_an_llmdeployment_that_is_gone_or_going_is_not_touched(world: World, gone: bool) -> None:
    if not gone:
        going = llm_deployment()
        going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        world.cluster.put(going)
    assert await world.look() == Result()
    assert world.cluster.writes == []


@pytest.mark.parametrize("again", [True, False])
async def test_what_goes_while_it_is_looked_at_is_not_made_again_for_an_owner_that_is_gone(world: World, again: bool) -> None:
    world.cluster.put(llm_deployment())
    await world.settle()
    before = len(world.cluster.writes)

    def goes(call: Call) -> bool:
        if call.verb == "list" and (old := world.cluster.find(kinds.LLM_DEPLOYMENT, "chat")) and old.get("status"):
            world.cluster.remove(kinds.LLM_DEPLOYMENT, "chat")
            if again:
                world.cluster.put(llm_deployment())
        return False

    world.cluster.faults.append(Fault(errors.NotFoundError(404, "NotFound", ""), goes))
    await world.look()
    owners = {owner["uid"] for live in world.cluster.objects.values() for owner in live["metadata"].get("ownerReferences", [])}
    live = world.cluster.find(kinds.LLM_DEPLOYMENT, "chat")
    assert owners == ({live["metadata"]["uid"]} if live else set())
    assert again or len(world.cluster.writes) == before


async def test_an_event_is_written_once_for_one_change(world: World) -> None:
    world.cluster.put(llm_deployment(accelerator={"profile": "unknown"}))
    await world.settle()
    events = world.cluster.all(kinds.EVENT)
    assert [(each["type"], each["regarding"]["name"]) for each in events] == [("Warning", "chat")]


async def test_an_event_that_cannot_be_written_does_not_fail_the_look(world: World) -> None:
    world.cluster.put(llm_deployment(accelerator={"profile": "unknown"}))
    world.cluster.faults.append(Fault(errors.ForbiddenError(403, "Forbidden", "no"), refusing("Event"), times=100))
    assert not (await world.look()).failed
    assert world.status()["phase"] == "Stalled"


async def test_bad_input_keeps_what_serves_and_is_not_retried(world: World) -> None:
    world.cluster.put(llm_deployment())
    await world.settle()
    before = {address: live for address, live in world.cluster.objects.items() if address[0] == "Deployment"}
    world.cluster.edit(kinds.LLM_DEPLOYMENT, "chat", lambda live: live["spec"].update(accelerator={"profile": "unknown"}))
    result = await world.settle()
    assert result == Result()
    assert world.condition("Stalled")["status"] == "True"
    assert world.condition("Ready")["status"] == "True"
    assert {address: live for address, live in world.cluster.objects.items() if address[0] == "Deployment"} == before


async def test_a_prompt_says_who_uses_it_and_its_users_are_looked_at(world: World) -> None:
    world.cluster.put(llm_prompt())
    world.cluster.put(llm_deployment(prompt={"ref": {"name": "support"}}))
    world.cluster.put(llm_deployment("other"))
    assert await world.look(SUPPORT) == Result()
    assert world.status(kinds.LLM_PROMPT, "support")["usedBy"] == ["chat"]
    assert world.added == [CHAT]


async def test_an_unchanged_prompt_is_not_written_and_wakes_nobody(world: World) -> None:
    world.cluster.put(llm_prompt())
    world.cluster.put(llm_deployment(prompt={"ref": {"name": "support"}}))
    await world.look(SUPPORT)
    world.added.clear()
    world.cluster.calls.clear()
    world.moment += timedelta(hours=1)
    await world.look(SUPPORT)
    assert world.cluster.writes == []
    assert world.added == []


async def test_a_prompt_that_is_deleted_wakes_its_users(world: World) -> None:
    world.cluster.put(llm_deployment(prompt={"ref": {"name": "support"}}))
    await world.look(SUPPORT)
    assert world.added == [CHAT]


async def test_a_deployment_that_begins_or_ceases_to_use_a_prompt_wakes_the_prompt(world: World) -> None:
    world.cluster.put(llm_prompt())
    world.cluster.put(llm_deployment(prompt={"ref": {"name": "support"}}))
    await world.look()
    assert world.added == [SUPPORT]
    await world.look(SUPPORT)
    world.added.clear()
    world.cluster.remove(kinds.LLM_DEPLOYMENT, "chat")
    await world.look()
    assert world.added == [SUPPORT]


async def test_another_user_of_a_prompt_wakes_none_of_the_others(world: World) -> None:
    world.cluster.put(llm_prompt())
    world.cluster.put(llm_deployment(prompt={"ref": {"name": "support"}}))
    await world.look(SUPPORT)
    world.added.clear()
    world.cluster.put(llm_deployment("other", prompt={"ref": {"name": "support"}}))
    await world.look(SUPPORT)
    assert world.status(kinds.LLM_PROMPT, "support")["usedBy"] == ["chat", "other"]
    assert world.added == []


async def test_a_missing_prompt_is_named_and_found_once_it_is_there(world: World) -> None:
    world.cluster.put(llm_deployment(prompt={"ref": {"name": "support"}}))
    await world.settle()
    assert "support" in world.condition("Stalled")["message"]
    world.cluster.put(llm_prompt())
    await world.settle()
    assert world.status()["phase"] == "Ready"


def told(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[tuple[str, str]]:
    """Return reason and message of what was logged about the deployment."""
    lines = [record for record in caplog.records if record.name == "llm_operator" and record.levelno >= level]
    assert all(record.__dict__["fields"]["deployment"] == "ns/chat" for record in lines)
    return [(record.__dict__["fields"]["reason"], record.getMessage()) for record in lines]


async def test_each_decision_and_each_state_is_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.cluster.put(llm_deployment())
    await world.settle()
    lines = told(caplog)
    assert len(lines) == len(set(lines))
    assert ("Created", "Service chat") in lines
    assert any(reason == "Promoted" for reason, _ in lines)
    assert lines[-1][1].startswith("Ready: ")
    caplog.clear()
    await world.settle(3)
    assert told(caplog) == []


async def test_a_refusal_is_logged_with_each_try(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.cluster.faults.append(Fault(errors.ForbiddenError(403, "Forbidden", "exceeded quota"), refusing("Service"), times=1_000))
    world.cluster.put(llm_deployment())
    await world.settle(4)
    warnings = told(caplog, logging.WARNING)
    assert set(warnings) == {("Refused", "Service chat refused: exceeded quota")}


async def test_figures_count_looks_by_how_they_ended(world: World) -> None:
    world.cluster.put(llm_deployment())
    await world.look()
    world.cluster.faults.append(Fault(errors.TransientError(503, "", "later"), lambda call: call.verb == "get"))
    await world.look()
    figures = world.reconciler.metrics.text().decode()
    assert 'llm_operator_reconcile_seconds_count{kind="LLMDeployment",result="ok"} 1.0' in figures
    assert 'llm_operator_reconcile_seconds_count{kind="LLMDeployment",result="transient"} 1.0' in figures
    assert 'llm_operator_writes_total{kind="LLMDeployment",verb="status"} 1.0' in figures


# What is read


def reads(world: World) -> list[tuple[str, str]]:
    found = [(call.verb, call.kind) for call in world.cluster.calls if not call.writes]
    world.cluster.calls.clear()
    return found


async def heard(world: World, *kinds_heard: kinds.Kind) -> Result:
    """Look as after events about some kinds."""
    for kind in kinds_heard:
        world.reconciler.inbox.ask(CHAT, kind)
    return await world.reconciler(CHAT)


def just_made() -> Manifest:
    made = llm_deployment()
    return made | {"metadata": {**made["metadata"], "creationTimestamp": "2026-01-01T00:00:00Z"}}


async def test_of_a_deployment_that_was_just_made_nothing_but_itself_is_read(world: World) -> None:
    world.cluster.put(just_made())
    await heard(world, kinds.LLM_DEPLOYMENT)
    assert reads(world) == [("get", "LLMDeployment")]
    assert world.cluster.all(kinds.JOB)


async def test_a_deployment_that_lost_its_status_is_looked_at_whole(world: World) -> None:
    world.cluster.put(just_made())
    world.moment += timedelta(hours=1)
    await heard(world, kinds.LLM_DEPLOYMENT)
    assert len(reads(world)) > len(kinds.CHILDREN)


async def test_while_pods_come_up_only_they_and_their_deployment_are_read(world: World) -> None:
    world.cluster.put(just_made())
    await heard(world, kinds.LLM_DEPLOYMENT)
    world._controllers()
    await heard(world, kinds.POD)
    await heard(world, kinds.POD)  # the resolver goes
    reads(world)
    await heard(world)
    assert sorted(reads(world)) == [("get", "LLMDeployment"), ("list", "Deployment"), ("list", "Pod")]
    await heard(world, kinds.POD)
    assert sorted(reads(world)) == [("get", "LLMDeployment"), ("list", "Pod")]


async def test_the_whole_life_of_a_first_revision_takes_few_requests(world: World) -> None:
    world.cluster.put(just_made())
    await heard(world, kinds.LLM_DEPLOYMENT)
    for _ in range(2):
        world._controllers()
        world.moment += timedelta(seconds=1)
        result = await heard(world, kinds.POD)
    assert world.status()["phase"] == "Ready"
    assert result == Result(), "nothing is left to look for"
    assert not world.cluster.all(kinds.JOB)
    counted = [call for call in world.cluster.calls if call.kind not in {"Event", "Job"}]
    assert len([call for call in counted if call.writes]) <= 11
    assert len(counted) <= 18


async def test_a_write_never_rests_on_what_was_not_read_for_it(world: World) -> None:
    world.cluster.put(llm_deployment())
    await world.settle()
    world.cluster.edit(kinds.POD_DISRUPTION_BUDGET, "chat", lambda live: live["spec"].update(maxUnavailable=9))
    world.cluster.edit(kinds.LLM_DEPLOYMENT, "chat", lambda live: live["spec"].update(prompt={"inline": {"system": "Be kind."}}))
    await heard(world, kinds.LLM_DEPLOYMENT)
    (budget,) = world.cluster.all(kinds.POD_DISRUPTION_BUDGET)
    assert budget["spec"]["maxUnavailable"] == 1, "the new table needed a whole look, and that one saw the budget too"


async def test_what_a_new_deployment_finds_under_its_names_is_seen_before_anything_is_touched(world: World) -> None:
    world.cluster.put(just_made())
    await world.settle()
    lost = world.cluster.edit(kinds.LLM_DEPLOYMENT, "chat", lambda live: live.pop("status"))
    world.reconciler._looks.forget(CHAT)
    assert "status" not in lost
    for _ in range(4):
        await heard(world, kinds.LLM_DEPLOYMENT)
        world._controllers()
        world.moment += timedelta(seconds=1)
    assert world.status()["phase"] == "Ready"


async def test_after_a_failed_look_everything_is_read(world: World) -> None:
    world.cluster.put(just_made())
    await heard(world, kinds.LLM_DEPLOYMENT)
    world.cluster.faults.append(Fault(errors.TransientError(503, "", "later"), lambda call: call.verb == "list"))
    assert (await heard(world, kinds.POD)).failed
    reads(world)
    await heard(world, kinds.POD)
    assert len(reads(world)) > len(kinds.CHILDREN)


async def test_our_own_writes_are_no_news(world: World) -> None:
    world.cluster.put(just_made())
    await heard(world, kinds.LLM_DEPLOYMENT)
    live = world.cluster.find(kinds.LLM_DEPLOYMENT, "chat")
    assert live is not None
    assert not world.reconciler.eye.seen.is_news(hint(CHAT, kinds.LLM_DEPLOYMENT, live, gone=False))


# The survey


def surveyor(world: World) -> Surveyor:
    reconciler = world.reconciler
    return Surveyor(world.cluster, reconciler.eye, reconciler.decide, reconciler.decide_prompt)


async def settled_fleet(world: World, *fleet: str) -> None:
    for name in fleet:
        world.cluster.put(llm_deployment(name))
        for _ in range(8):
            await world.look(Key("LLMDeployment", "ns", name))
            world._controllers()
            world.moment += timedelta(seconds=1)
    world.cluster.calls.clear()


async def test_a_fleet_at_rest_is_read_with_one_list_a_kind_and_needs_no_look(world: World) -> None:
    await settled_fleet(world, "chat")
    found = await surveyor(world).survey(None)
    assert (found.differ, found.later) == ([], {})
    assert found.versions.keys() == {CHAT}
    assert len(world.cluster.calls) == len({call.kind for call in world.cluster.calls}) == len(kinds.CHILDREN) + 3
    assert world.cluster.writes == []


@pytest.mark.parametrize(
    "kind", [kinds.DEPLOYMENT, kinds.CONFIG_MAP, kinds.POD_DISRUPTION_BUDGET, kinds.CONTROLLER_REVISION, kinds.SERVICE]
)
async def test_a_survey_finds_what_was_lost(world: World, kind: kinds.Kind) -> None:
    await settled_fleet(world, "chat")
    world.cluster.remove(kind, world.cluster.all(kind)[0]["metadata"]["name"])
    assert (await surveyor(world).survey(None)).differ == [CHAT]


async def test_a_survey_finds_what_a_sidecar_says_only_when_asked(world: World) -> None:
    await settled_fleet(world, "chat")
    (uid,) = world.telemetry.reported
    world.telemetry.reported[uid] = dataclasses.replace(world.telemetry.reported[uid], generation=0)
    assert (await surveyor(world).survey(None)).differ == [CHAT]


async def test_a_survey_finds_a_prompt_that_is_wrong_about_who_uses_it(world: World) -> None:
    world.cluster.put(llm_prompt())
    await world.look(SUPPORT)
    assert (await surveyor(world).survey(None)).differ == []
    world.cluster.put(llm_deployment(prompt={"ref": {"name": "support"}}))
    assert SUPPORT in (await surveyor(world).survey(None)).differ


async def test_one_that_cannot_be_decided_gets_a_look_of_its_own_and_keeps_no_other_from_being_surveyed(world: World) -> None:
    await settled_fleet(world, "chat", "other")
    world.cluster.put(llm_prompt())
    await world.look(SUPPORT)

    async def decide(observed: Observed) -> Plan:
        if observed.deployment["metadata"]["name"] == "chat":
            raise errors.TransientError(0, "CheckFailed", "its process died")
        return await world.reconciler.decide(observed)

    async def decide_prompt(_prompt: Manifest, _users: Sequence[str]) -> dict[str, Any]:
        raise ZeroDivisionError

    sound = surveyor(world)
    found = await dataclasses.replace(sound, decide=decide, decide_prompt=decide_prompt).survey(None)
    assert (found.differ, found.versions.keys()) == ([CHAT, SUPPORT], (await sound.survey(None)).versions.keys())


async def test_what_comes_up_is_looked_at_after_a_while(world: World) -> None:
    world.cluster.put(llm_deployment())
    await world.look()
    found = await surveyor(world).survey(None)
    assert CHAT in found.later or CHAT in found.differ


async def test_what_a_survey_has_read_is_no_news(world: World) -> None:
    await settled_fleet(world, "chat")
    world.reconciler.eye.seen = Seen()
    await surveyor(world).survey("ns")
    for kind in (kinds.LLM_DEPLOYMENT, kinds.DEPLOYMENT, kinds.SERVICE, kinds.POD):
        for live in world.cluster.all(kind):
            assert not world.reconciler.eye.seen.is_news(hint(CHAT, kind, live, gone=False))


async def test_lists_from_before_what_the_watch_told_of_are_not_believed(world: World) -> None:
    await settled_fleet(world, "chat")
    before = world.status()
    (pod, *_) = world.cluster.all(kinds.POD)
    world.reconciler.inbox.hear(hint(CHAT, kinds.POD, pod, gone=False))
    world.cluster.lagging = True
    assert (await world.look()).failed
    assert world.status() == before
    world.cluster.lagging = False
    assert not (await world.look()).failed


async def test_a_deployment_as_it_was_before_its_last_look_or_before_it_was_deleted_is_not_believed(world: World) -> None:
    world.cluster.put(llm_deployment())
    old = world.cluster.find(kinds.LLM_DEPLOYMENT, "chat")
    assert old
    await world.look()
    address = (kinds.LLM_DEPLOYMENT.kind, "ns", "chat")
    now, world.cluster.objects[address] = world.cluster.objects[address], old
    assert (await world.look()).failed
    world.reconciler.inbox.hear(hint(CHAT, kinds.LLM_DEPLOYMENT, now, gone=True))
    world.cluster.objects[address] = now
    assert (await world.look()).failed
    world.cluster.objects[address] = {**now, "metadata": {**now["metadata"], "uid": "another"}}
    assert not (await world.look()).failed


async def test_a_store_that_was_restored_is_believed_after_a_minute(world: World) -> None:
    await settled_fleet(world, "chat")
    (pod, *_) = world.cluster.all(kinds.POD)
    pod["metadata"]["resourceVersion"] = "1000000"
    world.reconciler.inbox.hear(hint(CHAT, kinds.POD, pod, gone=False))
    world.cluster.lagging, now_s = True, 0.0
    world.reconciler.eye.clock = lambda: now_s
    assert (await world.look()).failed
    now_s = 61.0
    assert (await world.look()).failed
    assert not (await world.look()).failed


GATED: dict[str, Any] = {"config": {"steps": [{"weightPercent": 50}]}, "gates": [{"errors": {}}]}


def count(world: World, requests: int, failing: str) -> None:
    """Have the only pod count requests, every other one for the revision that fails, and tell it."""
    (pod,) = [each for each in world.cluster.all(kinds.POD) if names.LABEL_ENGINE in each["metadata"]["labels"]]
    asked = world.telemetry.followed.get("ns/chat", frozenset())
    for number in range(requests):
        revision = failing if number % 2 else next(iter(asked - {failing}))
        world.counters.record(revision, str(number).encode(), failed=revision == failing)
    reply = read(world.counters.expose(), "chat", asked)
    world.telemetry.told[pod["metadata"]["uid"]] = Heard(datetime(2025, 1, 1, tzinfo=UTC), world.moment, (reply,))


async def test_statistics_are_asked_for_while_a_rollout_has_gates_and_harm_in_them_ends_it(world: World) -> None:
    world.cluster.put(llm_deployment(rollout=GATED))
    await world.settle()
    assert not world.telemetry.followed
    world.cluster.edit(kinds.LLM_DEPLOYMENT, "chat", lambda live: live["spec"].update(prompt={"inline": {"system": "Fail."}}))
    await world.settle(3)
    bad = world.status()["latestRevision"]
    assert world.telemetry.followed["ns/chat"] == {bad, world.status()["stable"]["revision"]}
    count(world, 0, bad)
    await world.settle(3)
    assert world.cluster.find(kinds.CONFIG_MAP, "chat-evidence")
    count(world, 200, bad)
    world.moment += timedelta(minutes=1)
    count(world, 0, bad)
    writes = len(world.cluster.writes)
    result = await world.look()
    first = world.cluster.writes[writes]
    assert (first.kind, first.name) == ("ConfigMap", "chat-evidence")
    assert result.next_look_s is not None
    await world.settle(4)
    assert (world.status()["rollout"]["state"], world.status()["rollout"]["reason"]) == ("Aborted", "ErrorsMore")
    assert not world.cluster.find(kinds.CONFIG_MAP, "chat-evidence")
    assert not world.telemetry.followed


async def test_of_a_deployment_that_is_gone_no_statistics_are_asked_for(world: World) -> None:
    world.cluster.put(llm_deployment(rollout=GATED))
    await world.settle()
    world.cluster.edit(kinds.LLM_DEPLOYMENT, "chat", lambda live: live["spec"].update(prompt={"inline": {"system": "Fail."}}))
    await world.settle(3)
    assert world.telemetry.followed
    world.cluster.remove(kinds.LLM_DEPLOYMENT, "chat")
    await world.look()
    assert not world.telemetry.followed


async def test_the_entry_of_a_deployment_without_pods_is_asked_who_waits_until_somebody_does(world: World) -> None:
    world.cluster.put(llm_deployment(replicas=0, autoscaling={"mode": "BuiltIn", "minReplicas": 0}))
    await world.settle(4)
    (entry,) = [each["metadata"]["uid"] for each in world.cluster.all(kinds.POD) if names.LABEL_SERVING in each["metadata"]["labels"]]
    assert entry in world.telemetry.asleep["ns/chat"]
    assert world.status()["phase"] == "ScaledToZero"
    world.telemetry.reported[entry] = dataclasses.replace(world.telemetry.reported[entry], held=1)
    await world.look()
    assert world.telemetry.asleep["ns/chat"] == []
    assert sorted(each["spec"]["replicas"] for each in world.deployments()) == [1, 1]


async def test_of_a_deployment_that_is_gone_nobody_is_asked_who_waits(world: World) -> None:
    world.cluster.put(llm_deployment(replicas=0, autoscaling={"mode": "BuiltIn", "minReplicas": 0}))
    await world.settle(4)
    assert world.telemetry.asleep["ns/chat"]
    world.cluster.remove(kinds.LLM_DEPLOYMENT, "chat")
    await world.look()
    assert world.telemetry.asleep["ns/chat"] == []
