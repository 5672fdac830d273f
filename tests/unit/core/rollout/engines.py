"""An engine change by steps in a simulated world: what tests of it do, and what must hold at every moment of one."""

from dataclasses import dataclass, field
from typing import Any

from llm_operator.core import names
from llm_operator.core.actions import Plan
from llm_operator.core.kinds import CONFIG_MAP, DEPLOYMENT
from llm_sidecar.table import TABLE_KEY, WHOLE, Table, decode
from tests.unit.core.builders import make_deployment, make_spec
from tests.unit.core.sim import Sim

OTHER = {"source": "s3://models/other"}
THIRD = {"source": "s3://models/third"}
FULL = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
STEPS: list[dict[str, Any]] = [
    {"weightPercent": 5, "minDuration": "30s"},
    {"weightPercent": 50, "minDuration": "1m", "maxDuration": "10m"},
]


def by_steps(steps: list[dict[str, Any]] | None = None, mode: str = "Surge", keep: str = "0s", **changes: Any) -> dict[str, Any]:
    """Return a rollout of engines by steps."""
    return {
        "engine": {"steps": STEPS if steps is None else steps, **changes},
        "capacity": {"mode": mode},
        "abort": {"keepCanaryFor": keep},
    }


@dataclass
class Watched:
    """A deployment that is looked at, with what must hold after each look and each second."""

    sim: Sim
    replicas: int
    mode: str = "Surge"
    peak: int = 0
    weights_seen: list[int] = field(default_factory=list)
    healthy: bool = True
    """Whether all pods get ready and none is taken away by anybody else."""

    @classmethod
    def serving(cls, replicas: int = 2, mode: str = "Surge", steps: list[dict[str, Any]] | None = None, **changes: Any) -> "Watched":
        """Return a deployment that serves, and lets engine changes in by steps."""
        rollout = by_steps(steps, mode, **changes)
        sim = Sim(deployment=make_deployment(spec=make_spec(replicas=replicas, rollout=rollout)))
        sim.settle()
        return cls(sim, replicas, mode)

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.sim.deployment["status"]
        return found

    @property
    def rollout(self) -> dict[str, Any]:
        found: dict[str, Any] = self.status["rollout"]
        return found

    @property
    def state(self) -> tuple[str, int, int]:
        return self.rollout["state"], self.rollout["step"], self.rollout["weight"]

    @property
    def table(self) -> Table:
        return decode(self.sim.objects[CONFIG_MAP, "chat-snapshot"]["data"][TABLE_KEY].encode())

    @property
    def old(self) -> str:
        """The engine of the stable revision."""
        return str(self.status["stable"]["engine"])

    def share(self) -> int:
        """Return the weight of what is not on the stable engine."""
        return sum(route.weight for route in self.table.routes if route.engine != self.old)

    def pods(self, *, old: bool) -> list[str]:
        """Return the pods of the stable engine, or the others, those on their way out included."""
        return [pod["metadata"]["name"] for pod in self.sim.held() if (pod["metadata"]["labels"][names.LABEL_ENGINE] == self.old) == old]

    def asked(self, engine: str) -> int:
        live = self.sim.objects.get((DEPLOYMENT, f"chat-{engine}"))
        return int(live["spec"]["replicas"]) if live else 0

    def condition(self, kind: str) -> dict[str, Any]:
        return next(each for each in self.status["conditions"] if each["type"] == kind)

    def look(self) -> Plan:
        made = self.sim.look()
        self.check()
        return made

    def tick(self, seconds: float = 1.0) -> None:
        self.sim.tick(seconds)
        self.peak = max(self.peak, len(self.sim.held()))
        if self.healthy:
            assert len(self.sim.held()) <= self.replicas + (self.mode == "Surge")
            alone = self.mode == "Replace" and self.replicas == 1
            assert self.sim.ready_pods() >= self.replicas - (self.mode != "Surge") or (alone and self.sim.entries())

    def run(self, looks: int = 8, seconds: float = 1.0) -> Plan:
        """Look several times, with a little time in between."""
        for _ in range(looks):
            made = self.look()
            self.tick(seconds)
        return made

    def pass_time(self, seconds: float) -> None:
        """Let the time of a step pass, then look until what follows from it is there."""
        self.tick(seconds)
        self.run()

    def until(self, state: str, looks: int = 80) -> None:
        for _ in range(looks):
            if self.status.get("rollout", {}).get("state") == state:
                return
            self.run(1)
        raise AssertionError(f"never {state}: {self.status}")

    def ask(self, verb: str) -> dict[str, Any]:
        """Ask for a verb under a new id, look, and return the answer."""
        self.sim.verb(verb, f"gh-{verb}-{self.sim.now:%H-%M-%S}")
        self.run(1)
        found: dict[str, Any] = self.status["actions"][-1]
        return found

    def check(self) -> None:
        """Assert what holds after every look."""
        share = self.share()
        if not self.weights_seen or self.weights_seen[-1] != share:
            self.weights_seen.append(share)
        assert sum(route.weight for route in self.table.routes) == WHOLE
        serving = {route.engine for route in self.table.routes if self.sim.ready_pods(route.engine)}
        weighted = {route.engine for route in self.table.routes if route.weight}
        assert not serving or weighted <= serving, "an engine without a ready pod has requests"
        if self.healthy and self.rollout_goes_on and self.rollout["state"] in {"Warming", "Stepping", "Paused", "WaitingCapacity"}:
            floor = self.replicas - (self.mode != "Surge")
            assert self.sim.ready_pods(self.old) >= min(floor, self.replicas), "stable is below its floor"
            assert share <= WHOLE // max(1, floor)

    @property
    def rollout_goes_on(self) -> bool:
        return self.status.get("rollout", {}).get("state") not in {None, "Promoted", "Aborted", "Superseded"}
