"""Engine changes by steps under everything that can happen to pods, sidecars, specs and verbs: what is promised, and that it ends."""

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from llm_operator.core.actions import Plan
from llm_operator.core.kinds import DEPLOYMENT
from llm_sidecar.table import WHOLE
from tests.properties import tried
from tests.unit.core.test_ratchet import Change

STEPS: list[dict[str, Any]] = [
    {"shadow": {"samplePercent": 10}, "minDuration": "2s", "maxDuration": "60s"},
    {"weightPercent": 5, "minDuration": "2s", "maxDuration": "60s"},
    {"approval": {}, "maxDuration": "20s"},
    {"weightPercent": 50, "maxDuration": "60s", "onInconclusive": "Abort"},
]
VERBS = ["abort", "approve", "pause", "promote", "resume", "retry", "rollback"]
TRIED = frozenset({"Preparing", "WaitingCapacity", "Warming", "Stepping", "Paused"})


class Tried(Change):
    """The same as without steps, with steps and verbs: stable keeps its pods for as long as one is tried beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.verbs = 0
        self.sim.edit(rollout=self._rollout(STEPS))
        self.sim.settle()

    def _rollout(self, steps: list[dict[str, Any]]) -> dict[str, Any]:
        engine = {"engine": {"steps": steps, "progressDeadline": "60s"}} if steps else {}
        return {"capacity": {"mode": self.mode}, "abort": {"keepCanaryFor": "10s"}, **engine}

    @initialize(rounds=st.integers(0, 30), model=st.sampled_from(["b", "c"]))
    def ask_for_another_engine(self, rounds: int, model: str) -> None:
        self.sim.edit(model={"source": f"s3://models/{model}"})
        self.go_on(rounds)

    @rule(rounds=st.integers(4, 16))
    def go_on(self, rounds: int) -> None:
        for _ in range(rounds):
            self.look()
            self.sim.tick()
            self.pods_are_few()

    @rule(rounds=st.integers(4, 16))
    def approve_and_go_on(self, rounds: int) -> None:
        if "latestRevision" in self.sim.deployment.get("status", {}):
            self.ask("approve")
        self.go_on(rounds)

    @rule(steps=st.sampled_from([STEPS, STEPS, STEPS[:1], STEPS[1:], []]))
    def edit_the_steps(self, steps: list[dict[str, Any]]) -> None:
        self.sim.edit(rollout=self._rollout(steps))

    @precondition(lambda self: "latestRevision" in self.sim.deployment.get("status", {}))
    @rule(verb=st.sampled_from(VERBS))
    def ask(self, verb: str) -> None:
        self.verbs += 1
        self.sim.verb(verb, f"gh-{self.verbs}")

    @rule()
    def spoil_the_spec(self) -> None:
        self.sim.edit(accelerator={})

    @rule()
    def repair_the_spec(self) -> None:
        self.sim.edit(accelerator={"profile": "l4"})

    def teardown(self) -> None:
        """Without steps, and with what was aborted let in again, all ends as a change without steps does."""
        self.mend_everything()
        self.sim.unschedulable = ""
        self.repair_the_spec()
        self.edit_the_steps([])
        for _ in range(40):
            self.sim.look()
            self.sim.tick(2)
            status = self.sim.deployment["status"]
            if status.get("rollout", {}).get("state") == "Paused":
                self.ask("resume")
            elif status.get("latestRevision") in {each["revision"] for each in status.get("abortedRevisions", [])}:
                self.ask("retry")
        super().teardown()

    def _no_ready_pod_goes_that_is_needed(self, made: Plan) -> None:
        super()._no_ready_pod_goes_that_is_needed(made)
        rollout, stable = made.status.get("rollout", {}), made.status.get("stable")
        if not stable or rollout.get("state") not in TRIED or not self.constant or not self.asked:
            return
        floor = self.asked - (1 - self.surge)
        for each in made.applies:
            live = self.sim.objects.get((DEPLOYMENT, each.name))
            if each.kind == DEPLOYMENT and live is not None and each.name == f"chat-{stable['engine']}":
                after, before = each.object["spec"]["replicas"], live["spec"]["replicas"]
                assert after >= min(before, max(1, floor)), "a pod of stable makes way for a trial"

    def _units_go_where_somebody_serves(self) -> None:
        super()._units_go_where_somebody_serves()
        rollout, engine = self.sim.deployment["status"].get("rollout", {}), self.sim.deployment["status"].get("stable", {}).get("engine")
        copied = self.table.shadow
        assert copied is None or rollout.get("state") in {"Stepping", "Paused"}, "copies without a step that asks for them"
        assert copied is None or copied.revision in {each.revision for each in self.table.routes}
        begun = TRIED - {"Preparing"}  # then an earlier change is taken back, or the same one from before the status was lost
        if self.table.salt != rollout.get("id") or rollout["state"] not in begun or not self.sim.ready_pods(engine):
            return
        share = sum(route.weight for route in self.table.routes if route.engine != engine)
        carriers = max(1, min(self.asked - (1 - self.surge), self.sim.ready_pods()))
        tried_on = self.sim.ready_pods() - self.sim.ready_pods(engine)
        assert share <= min(rollout["weight"] * WHOLE // 100, WHOLE * tried_on // carriers), "a trial has more than its step, or its pods"


class TriedInPlace(Tried):
    """The same, with no more pods than are asked for."""

    mode = "Replace"
    surge = 0

    def teardown(self) -> None:
        """In the end there is an entry besides."""
        super().teardown()
        assert len(self.sim.entries()) == 1


class TriedOnLoan(Tried):
    """The same with a pod of stable, as long as the others can carry the load, and in a cluster that may be full."""

    mode = "Borrow"
    surge = 0

    @rule(running=st.sampled_from([0, 50, 90]), slots=st.sampled_from([100, 100, 100, None]))
    def change_the_load(self, running: int, slots: int | None) -> None:
        self.sim.running, self.sim.slots = running, slots

    @rule(accelerators=st.integers(2, 5))
    def change_the_cluster(self, accelerators: int) -> None:
        self.sim.accelerators = accelerators

    @rule()
    def let_the_load_be_low_for_a_minute(self) -> None:
        self.change_the_load(0, 100)
        self.go_on(2)
        self.sim.tick(60)
        self.go_on(4)

    def teardown(self) -> None:
        """The only replica cannot be lent, so another mode ends that."""
        self.change_the_load(0, 100)
        self.sim.accelerators = 1000
        if self.asked < 2:
            self.mode, self.surge = "Surge", 1
        super().teardown()

    def _no_ready_pod_goes_that_is_needed(self, made: Plan) -> None:
        """One that is given back has no request any more; it is not needed even where a pod of stable is not ready."""
        serving = {f"chat-{route.engine}" for route in self.table.routes if route.weight}
        kept = tuple(each for each in made.applies if each.kind != DEPLOYMENT or each.name in serving)
        super()._no_ready_pod_goes_that_is_needed(replace(made, applies=kept))
        stable, loan = made.status.get("stable"), made.status.get("loan")
        if not stable or not loan or not self.constant or not self.sim.ready_pods(stable["engine"]):
            return
        ready = [pod["metadata"]["name"] for pod in self.sim.held() if self.sim.ready_pods()]
        known = self.sim.slots is not None and not self.sim.silent & set(ready)
        for each in made.applies:
            live = self.sim.objects.get((DEPLOYMENT, each.name))
            if live is None or each.kind != DEPLOYMENT or each.name != f"chat-{stable['engine']}":
                continue
            if (
                each.object["spec"]["replicas"] < live["spec"]["replicas"] == self.asked
                and self.sim.ready_pods(stable["engine"]) == self.asked
            ):
                assert known, "a pod is taken from stable on a load that nobody knows"
                assert self.sim.running * self.sim.ready_pods() <= 80 * (self.asked - 1), "a pod is taken that the load needs"


class TriedAlone(TriedInPlace):
    """The same with the only accelerator there is: nothing is tried, but approvals are waited for."""

    replicas = 1


TestTried = Tried.TestCase
TestTriedInPlace = TriedInPlace.TestCase
TestTriedOnLoan = TriedOnLoan.TestCase
TestTriedAlone = TriedAlone.TestCase
TestTried.settings = tried(6, stateful_step_count=25, suppress_health_check=list(HealthCheck))
TestTriedInPlace.settings = tried(4, stateful_step_count=20, suppress_health_check=list(HealthCheck))
TestTriedOnLoan.settings = tried(2, stateful_step_count=16, suppress_health_check=list(HealthCheck))
TestTriedAlone.settings = tried(3, stateful_step_count=20, suppress_health_check=list(HealthCheck))
