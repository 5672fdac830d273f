"""Whatever is edited, upgraded, killed and lost: pods are made anew only where a user has asked for it."""

import json

from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llm_operator.core.actions import Plan
from llm_operator.core.kinds import CONFIG_MAP, CONTROLLER_REVISION
from tests.properties import tried
from tests.unit.core.builders import SOURCE, digest_of, make_config, make_deployment, make_prompt, make_spec
from tests.unit.core.sim import Sim


class Identity(RuleBasedStateMachine):
    """One deployment under operators and administrators that come and go. ``asked`` counts what may have needed a new engine."""

    def __init__(self) -> None:
        super().__init__()
        prompt = {"ref": {"name": "support"}, "updatePolicy": "Rollout"}
        self.sim = Sim(deployment=make_deployment(spec=make_spec(prompt=prompt)), prompt=make_prompt())
        self.sidecar, self.vllm, self.memory, self.asked = 1, "0.32.0", "24Gi", 1
        self.sim.settle()

    def configure(self) -> None:
        self.sim.config = make_config(
            images={"sidecar": f"example.org/llm-sidecar:{self.sidecar}", "fetcher": "example.org/llm-fetcher:1"},
            engineProfiles={"vllm": {"image": f"example.org/vllm:{self.vllm}", "version": self.vllm}},
            acceleratorProfiles={"l4": {"resource": "nvidia.com/gpu", "memory": self.memory}},
        )

    @rule(sidecar=st.integers(1, 3))
    def upgrade_the_operator(self, sidecar: int) -> None:
        self.sidecar = sidecar
        self.configure()

    @rule(vllm=st.sampled_from(["0.32.0", "0.33.0"]), memory=st.sampled_from(["24Gi", "48Gi"]))
    def edit_the_profiles(self, vllm: str, memory: str) -> None:
        """The memory of an accelerator is no part of any pod, the image is."""
        self.vllm, self.memory = vllm, memory
        self.configure()

    @rule(text=st.sampled_from(["one", "two"]))
    def move_the_model(self, text: str) -> None:
        self.sim.resolver_answers[SOURCE] = json.dumps({"digest": digest_of(text), "bytes": 1, "files": 1})

    @rule(words=st.sampled_from(["Be brief.", "Be long."]))
    def edit_the_prompt(self, words: str) -> None:
        self.sim.prompt = make_prompt(system=words)

    @rule(length=st.sampled_from([None, 2048, 4096]))
    def edit_the_engine(self, length: int | None) -> None:
        self.sim.edit(engine={} if length is None else {"maxModelLen": length})
        self.asked += 1

    @precondition(lambda self: self.sim.deployment.get("status", {}).get("latestRevision"))
    @rule()
    def refresh(self) -> None:
        self.asked += 1
        self.sim.refresh(f"gh-{self.asked}")

    @rule()
    def take_the_annotation_away(self) -> None:
        self.sim.deployment["metadata"].pop("annotations", None)

    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """What an engine runs on, its Deployment, is not lost: without it there is nothing left to tell it from."""
        keys = [key for key in self.sim.objects if key[0] in {CONTROLLER_REVISION, CONFIG_MAP}]
        for key in data.draw(st.sets(st.sampled_from(sorted(keys, key=str)))) if keys else ():
            self.sim.remove(*key)
        if data.draw(st.booleans()):
            self.sim.deployment.pop("status", None)

    @rule(writes=st.integers(0, 6))
    def look_and_be_killed_between_the_writes(self, writes: int) -> None:
        self.sim.execute(Plan(applies=self.sim.plan().applies[:writes]))

    @rule()
    def look_and_be_killed_before_the_status(self) -> None:
        self.sim.execute(self.sim.plan())

    @rule(rounds=st.integers(1, 6))
    def look(self, rounds: int) -> None:
        for _ in range(rounds):
            self.sim.look()
            self.sim.tick()

    @invariant()
    def no_engine_is_made_that_nobody_asked_for(self) -> None:
        made = {line.removeprefix("apply Deployment ") for line in self.sim.log if line.startswith("apply Deployment ")}
        assert len(made) <= self.asked, made

    def teardown(self) -> None:
        """A refresh of what has come to rest leaves nothing that could be refreshed, and a second one finds that out."""
        self.sim.settle()
        for identity in ("last-1", "last-2"):
            self.sim.refresh(identity)
            self.sim.settle()
        status = self.sim.deployment["status"]
        answer = status["actions"][-1]
        assert (answer["outcome"], answer["result"]) == ("Done", answer["revision"])
        refresh = next(each for each in status["conditions"] if each["type"] == "RefreshAvailable")
        assert refresh["status"] == "False", refresh["message"]


TestIdentity = Identity.TestCase
TestIdentity.settings = tried(6, stateful_step_count=25, suppress_health_check=list(HealthCheck))
