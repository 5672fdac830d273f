"""Whatever users, controllers and crashes do, in whatever order: what serves goes on serving, and in the end it is what was asked for."""

import json
from typing import Any

from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llm_operator.core.actions import Plan
from llm_operator.core.kinds import CONFIG_MAP, DEPLOYMENT, JOB
from llm_sidecar.table import TABLE_KEY, WHOLE, decode
from tests.properties import tried
from tests.unit.core.builders import make_config, make_deployment, make_prompt, make_spec
from tests.unit.core.sim import Sim

STEPS = [{"weightPercent": 5, "minDuration": "5s"}, {"approval": {}, "maxDuration": "20s"}, {"weightPercent": 50, "maxDuration": "60s"}]
VERBS = ["abort", "approve", "pause", "promote", "refresh", "resume", "retry", "rollback"]
MODELS = st.sampled_from(["a", "b", "c"])
REPAIRED = ("model", "engine", "limits", "prompt", "replicas")


class Operator(RuleBasedStateMachine):
    """One deployment in a world where everything happens between any two looks."""

    def __init__(self) -> None:
        super().__init__()
        self.sim = Sim(deployment=make_deployment(spec=self._spec("a")), prompt=make_prompt())
        self.asked = 0

    @staticmethod
    def _spec(model: str) -> dict[str, Any]:
        return make_spec(model={"source": f"s3://models/{model}"})

    @rule(model=MODELS)
    def edit_the_model(self, model: str) -> None:
        self.sim.edit(model={"source": f"s3://models/{model}"})

    @rule(queue=st.integers(1, 3))
    def edit_the_limits(self, queue: int) -> None:
        self.sim.edit(limits={"queue": queue})

    @rule(policy=st.sampled_from(["Pin", "Notify", "Rollout"]))
    def follow_the_prompt(self, policy: str) -> None:
        self.sim.edit(prompt={"ref": {"name": "support"}, "updatePolicy": policy})

    @rule(words=st.sampled_from(["Be brief.", "Be long.", "{{ broken }}"]))
    def edit_the_prompt(self, words: str) -> None:
        self.sim.prompt = make_prompt(system=words)

    @rule(replicas=st.integers(0, 3))
    def scale(self, replicas: int) -> None:
        self.sim.edit(replicas=replicas)

    @rule(engine=st.sampled_from([{"profile": "nope"}, {"args": {"middleware": "x"}}, {}]))
    def edit_the_engine(self, engine: dict[str, Any]) -> None:
        self.sim.edit(engine=engine)

    @rule(version=st.sampled_from(["0.32.0", "0.33.0"]), sidecar=st.sampled_from(["1", "2"]))
    def upgrade(self, version: str, sidecar: str) -> None:
        self.sim.config = make_config(
            images={"sidecar": f"example.org/llm-sidecar:{sidecar}", "fetcher": "example.org/llm-fetcher:1"},
            engineProfiles={"vllm": {"image": f"example.org/vllm:{version}", "version": version}},
        )

    @rule(steps=st.sampled_from([STEPS, STEPS, STEPS[:1], []]))
    def let_changes_in_by_steps(self, steps: list[dict[str, Any]]) -> None:
        self.sim.edit(rollout={"config": {"steps": steps}, "engine": {"steps": steps}} if steps else {})

    @precondition(lambda self: "latestRevision" in self.sim.deployment.get("status", {}))
    @rule(verb=st.sampled_from(VERBS))
    def ask(self, verb: str) -> None:
        self.asked += 1
        self.sim.verb(verb, f"gh-{self.asked}")

    @rule(ready=st.sampled_from([1, 2, 9]))
    def change_the_capacity(self, ready: int) -> None:
        self.sim.max_ready = ready

    @rule(fails=st.booleans())
    def change_the_store(self, *, fails: bool) -> None:
        answer = json.dumps({"error": {"reason": "SourceUnreachable", "message": "no"}})
        self.sim.resolver_answers = {f"s3://models/{model}": answer for model in "abc"} if fails else {}

    @precondition(lambda self: self.sim.objects)
    @rule(data=st.data())
    def delete_a_child(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.sim.objects, key=str)))
        self.sim.remove(*key)

    @rule()
    def lose_the_status(self) -> None:
        self.sim.deployment.pop("status", None)

    @rule(seconds=st.sampled_from([0.3, 1, 5, 60, 400]))
    def let_time_pass(self, seconds: float) -> None:
        self.sim.tick(seconds)

    @rule(rounds=st.integers(1, 4))
    def look_and_let_time_pass(self, rounds: int) -> None:
        for _ in range(rounds):
            self.look()
            self.sim.tick()

    @rule()
    def look(self) -> None:
        made = self.sim.plan()
        self._serving_is_not_interrupted(made)
        self._status_is_true(made)
        self.sim.execute(made)
        self.sim.write_status(made)

    @rule()
    def look_and_crash_before_the_status(self) -> None:
        made = self.sim.plan()
        self._serving_is_not_interrupted(made)
        self.sim.execute(made)

    @rule(writes=st.integers(0, 5))
    def look_and_crash_between_the_writes(self, writes: int) -> None:
        made = self.sim.plan()
        self.sim.execute(Plan(applies=made.applies[:writes]))

    @invariant()
    def generations_only_rise(self) -> None:
        live = self.sim.objects.get((CONFIG_MAP, "chat-snapshot"))
        if live is not None:
            now = decode(live["data"][TABLE_KEY].encode()).generation
            running = [self.sim.mounted[name] for name in self.sim.pods if name in self.sim.mounted]
            assert all(now >= each for each in running)

    @invariant()
    def every_request_has_a_revision(self) -> None:
        live = self.sim.objects.get((CONFIG_MAP, "chat-snapshot"))
        if live is not None:
            table = decode(live["data"][TABLE_KEY].encode())
            assert sum(route.weight for route in table.routes) == WHOLE
            assert table.stable in {route.revision for route in table.routes}
            assert sum(route.slot is not None for route in table.routes) <= 1

    def teardown(self) -> None:
        """In the end everything works again, and the last spec is what there is."""
        self.sim.max_ready, self.sim.resolver_answers = 100, {}
        self.sim.prompt = make_prompt()
        self.sim.edit(engine={}, rollout={})
        self.sim.tick(400)
        self.decide()
        self.sim.settle()
        status, spec = self.sim.deployment["status"], self.sim.deployment["spec"]
        assert status["phase"] == ("Ready" if spec["replicas"] else "ScaledToZero")
        assert len(self.sim.engines()) == 1
        assert self.sim.ready_pods() == len(self.sim.pods) == spec["replicas"]
        assert (status["stable"]["revision"], status["observedGeneration"]) == (
            status["latestRevision"],
            self.sim.deployment["metadata"]["generation"],
        )
        pod = self.sim.objects[DEPLOYMENT, f"chat-{status['stable']['engine']}"]["spec"]["template"]["spec"]
        assert pod["initContainers"][0]["args"][2] == spec["model"]["source"]
        again = self.sim.look()
        assert (again.applies, again.deletes, again.nudges, again.events, again.next_look_s) == ((), (), (), (), None)

    def decide(self) -> None:
        """Let a rollout go on that waits for somebody, and in again what was aborted."""
        for _ in range(30):
            self.sim.look()
            self.sim.tick()
            status = self.sim.deployment["status"]
            if status.get("rollout", {}).get("state") == "Paused":
                self.ask("resume")
            elif status.get("latestRevision") in {each["revision"] for each in status.get("abortedRevisions", [])}:
                self.ask("retry")

    def _serving_is_not_interrupted(self, made: Plan) -> None:
        """An engine that no table names takes no requests, however ready its pods are."""
        going = {each.name.removeprefix("chat-") for each in made.deletes if each.kind == DEPLOYMENT}
        staying = [engine for engine in self.sim.engines() if engine not in going]
        live = self.sim.objects.get((CONFIG_MAP, "chat-snapshot"))
        if live is not None:
            going &= {route.engine for route in decode(live["data"][TABLE_KEY].encode()).routes}
        if any(self.sim.ready_pods(engine) for engine in going) and self.sim.deployment["spec"]["replicas"]:
            assert any(self.sim.ready_pods(engine) for engine in staying), "the last engine that serves is deleted"
        if made.status["reason"] in {"EngineProfileUnknown", "EngineArgumentInvalid", "PromptMissing", "PromptInvalid"}:
            assert not made.deletes, "bad input deletes something"

    def _status_is_true(self, made: Plan) -> None:
        conditions = {each["type"]: each for each in made.status["conditions"]}
        stable = made.status.get("stable") or {}
        serves = bool(stable) and self.sim.ready_pods(stable["engine"]) > 0
        assert (conditions["Ready"]["status"] == "True") == serves
        assert not (conditions["Stalled"]["status"] == "True" and conditions["Reconciling"]["status"] == "True")
        if conditions["Stalled"]["status"] == conditions["Reconciling"]["status"] == "False":
            waits = made.status["phase"] == "Paused"  # for a decision, in its time
            assert waits or made.next_look_s is None or made.next_look_s <= 3, "only addresses and resolvers are waited for"
            assert {each.kind for each in made.applies} <= {CONFIG_MAP, JOB}
            assert {each.kind for each in made.deletes} <= {JOB}
        assert made.status["observedGeneration"] == self.sim.deployment["metadata"]["generation"]
        assert all(each["observedGeneration"] == made.status["observedGeneration"] for each in made.status["conditions"])


TestOperator = Operator.TestCase
TestOperator.settings = tried(10, stateful_step_count=25, suppress_health_check=list(HealthCheck))
