"""An engine change under everything that can happen to pods, sidecars and specs: what is promised at every moment, and that it ends."""

from typing import Any

from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llm_operator.core import names
from llm_operator.core.actions import Plan
from llm_operator.core.kinds import CONFIG_MAP, DEPLOYMENT, SERVICE
from llm_sidecar.table import TABLE_KEY, WHOLE, Table, decode
from tests.properties import tried
from tests.unit.core.builders import make_deployment, make_spec
from tests.unit.core.sim import Sim

MODELS = ("a", "b", "c")


class Change(RuleBasedStateMachine):
    """One deployment that serves, and whose engine is then changed again and again."""

    mode = "Surge"
    surge = 1
    replicas = 3

    def __init__(self) -> None:
        super().__init__()
        capacity = {"capacity": {"mode": self.mode}}
        self.sim = Sim(deployment=make_deployment(spec=make_spec(model=_model("a"), replicas=self.replicas, rollout=capacity)))
        self.sim.settle()
        self.constant = True
        """Whether the number of replicas has been the same since the last time everything was at rest."""

    @rule(model=st.sampled_from(MODELS))
    def edit_the_model(self, model: str) -> None:
        self.sim.edit(model=_model(model))

    @rule(queue=st.integers(1, 3))
    def edit_the_limits(self, queue: int) -> None:
        self.sim.edit(limits={"queue": queue})

    @rule(replicas=st.integers(0, 4))
    def scale(self, replicas: int) -> None:
        self.constant &= replicas == self.asked
        self.sim.edit(replicas=replicas)

    @precondition(lambda self: self.sim.held())
    @rule(data=st.data())
    def crash_a_pod(self, data: st.DataObject) -> None:
        self.sim.crashed.add(self._pod(data))

    @precondition(lambda self: self.sim.held())
    @rule(data=st.data())
    def freeze_a_snapshot(self, data: st.DataObject) -> None:
        self.sim.deaf.add(self._pod(data))

    @precondition(lambda self: self.sim.held())
    @rule(data=st.data())
    def silence_a_sidecar(self, data: st.DataObject) -> None:
        self.sim.silent.add(self._pod(data))

    @precondition(lambda self: self.sim.held())
    @rule(data=st.data())
    def cut_a_sidecar_off(self, data: st.DataObject) -> None:
        self.sim.lonely.add(self._pod(data))

    @precondition(lambda self: self.sim.held())
    @rule(data=st.data())
    def give_a_pod_a_long_stream(self, data: st.DataObject) -> None:
        self.sim.streaming.add(self._pod(data))

    @rule()
    def mend_everything(self) -> None:
        for troubles in (self.sim.crashed, self.sim.deaf, self.sim.silent, self.sim.lonely, self.sim.streaming):
            troubles.clear()

    @rule(words=st.sampled_from(["", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."]))
    def change_the_room(self, words: str) -> None:
        self.sim.unschedulable = words

    @rule()
    def lose_the_status(self) -> None:
        self.sim.deployment.pop("status", None)

    @rule(seconds=st.sampled_from([0.3, 2, 70]))
    def let_time_pass(self, seconds: float) -> None:
        self.sim.tick(seconds)

    @rule(rounds=st.integers(1, 8))
    def look_and_let_time_pass(self, rounds: int) -> None:
        for _ in range(rounds):
            self.look()
            self.sim.tick()
            self.pods_are_few()

    @rule()
    def look(self) -> None:
        made = self.sim.plan()
        self._nothing_goes_that_anybody_may_still_use(made)
        self._no_ready_pod_goes_that_is_needed(made)
        self.sim.execute(made)
        self.sim.write_status(made)
        if self.asked and made.status["phase"] != "Stalled":
            self._units_go_where_somebody_serves()

    @rule(writes=st.integers(0, 4))
    def look_and_crash_between_the_writes(self, writes: int) -> None:
        made = self.sim.plan()
        self.sim.execute(Plan(applies=made.applies[:writes]))

    @invariant()
    def weights_are_whole(self) -> None:
        assert sum(route.weight for route in self.table.routes) == WHOLE

    @invariant()
    def pods_are_few(self) -> None:
        if self.constant and self.asked:
            assert len(self.sim.held()) <= self.asked + self.surge

    @invariant()
    def a_request_for_another_engine_goes_to_that_engine(self) -> None:
        engines = {name: pod["metadata"]["labels"].get(names.LABEL_ENGINE, "") for name, pod in self.sim.pods.items()}
        for name, read in self.sim.tables.items():
            for engine, reached in read.engines.items() if name in engines else ():
                if engine != engines[name]:
                    selector = self.sim.objects[SERVICE, reached.service]["spec"]["selector"]
                    assert selector[names.LABEL_ENGINE] == engine, f"{name} sends what is for {engine} to {reached.service}"

    def teardown(self) -> None:
        """Once the world behaves, the change comes to its end."""
        self.mend_everything()
        self.sim.unschedulable = ""
        self.sim.tick(70)
        self.sim.settle(rounds=150)
        status = self.sim.deployment["status"]
        assert "canary" not in status
        assert status["stable"]["revision"] == status["latestRevision"]
        assert self.sim.engines() == [status["stable"]["engine"]]
        assert [route.weight for route in self.table.routes] == [WHOLE]
        assert len(self.sim.held()) == self.sim.ready_pods() == self.asked
        services = {name for kind, name in self.sim.objects if kind == SERVICE}
        assert services == {"chat"} | {reached.service for reached in self.table.engines.values()}
        template = self.sim.objects[DEPLOYMENT, f"chat-{status['stable']['engine']}"]["spec"]["template"]["spec"]
        assert template["initContainers"][0]["args"][2] == self.sim.deployment["spec"]["model"]["source"]

    @property
    def asked(self) -> int:
        return int(self.sim.deployment["spec"]["replicas"])

    @property
    def table(self) -> Table:
        return decode(self.sim.objects[CONFIG_MAP, "chat-snapshot"]["data"][TABLE_KEY].encode())

    def _pod(self, data: st.DataObject) -> str:
        return str(data.draw(st.sampled_from(sorted(pod["metadata"]["name"] for pod in self.sim.held()))))

    def _tables(self) -> dict[str, Table]:
        """The tables that sidecars which still exist run now."""
        running = [pod["metadata"]["name"] for pod in self.sim.held() if pod["status"]["phase"] == "Running"]
        return {name: self.sim.tables[name] for name in running if name in self.sim.tables}

    def _nothing_goes_that_anybody_may_still_use(self, made: Plan) -> None:
        tables = self._tables()
        new = next((decode(each.object["data"][TABLE_KEY].encode()) for each in made.applies if each.kind == CONFIG_MAP), self.table)
        for gone in {route.revision for route in self.table.routes} - {route.revision for route in new.routes}:
            users = [name for name, table in tables.items() if any(route.weight for route in table.routes if route.revision == gone)]
            assert not users, f"{gone} leaves the table while {users} assign units to it"
        for each in made.deletes:
            engine = each.name.removeprefix("chat-")
            routes = {name: [route for route in table.routes if route.engine == engine] for name, table in tables.items()}
            if each.kind == DEPLOYMENT:
                assert not [name for name, mine in routes.items() if any(route.weight for route in mine)]
            if each.kind == SERVICE:
                assert not [name for name, mine in routes.items() if mine]
                assert not [pod for pod in self.sim.held() if pod["metadata"]["labels"][names.LABEL_ENGINE] == engine]
        kinds = {each.kind for each in made.deletes} & {DEPLOYMENT, SERVICE}
        assert len(kinds) + (new.routes != self.table.routes) <= 1 or len(new.routes) >= len(self.table.routes), "two steps at once"

    def _no_ready_pod_goes_that_is_needed(self, made: Plan) -> None:
        ready = self.sim.ready_pods()
        for each in made.applies:
            live = self.sim.objects.get((DEPLOYMENT, each.name))
            if each.kind != DEPLOYMENT or live is None or not self.constant:
                continue
            engine = each.name.removeprefix("chat-")
            fewer = live["spec"]["replicas"] - each.object["spec"]["replicas"]
            pods = [pod for pod in self.sim.held() if pod["metadata"]["labels"][names.LABEL_ENGINE] == engine]
            alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
            lost = max(0, fewer - (len(alive) - self.sim.ready_pods(engine)))
            assert not lost or ready - lost >= self.asked - (1 - self.surge)
            assert not lost or ready > lost or self.sim.entries(), "the last pod goes and nobody is there to hold requests"

    def _units_go_where_somebody_serves(self) -> None:
        empty = [route.engine for route in self.table.routes if route.weight and not self.sim.ready_pods(route.engine)]
        if empty and not self.sim.deaf | self.sim.silent | self.sim.lonely:
            others = [route.engine for route in self.table.routes if self.sim.ready_pods(route.engine)]
            given = [route.engine for route in self.table.routes if route.engine in others and route.weight]
            assert not given, f"{empty} have units and no ready pod, {given} have some"


def _model(name: str) -> dict[str, Any]:
    return {"source": f"s3://models/{name}"}


class Replacement(Change):
    """The same, with no more pods than are asked for."""

    mode = "Replace"
    surge = 0

    def teardown(self) -> None:
        """In the end there is an entry besides."""
        super().teardown()
        assert len(self.sim.entries()) == 1


class OnlyOne(Replacement):
    """The same with the only accelerator there is: the entry holds requests while nothing serves."""

    replicas = 1


TestChange = Change.TestCase
TestReplacement = Replacement.TestCase
TestOnlyOne = OnlyOne.TestCase
TestReplacement.settings = tried(6, stateful_step_count=20, suppress_health_check=list(HealthCheck))
TestOnlyOne.settings = TestReplacement.settings
TestChange.settings = tried(7, stateful_step_count=20, suppress_health_check=list(HealthCheck))
