"""One LLMDeployment on a real node whose changes are let in by steps, and what is done to it meanwhile."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.e2e import killing, kit
from tests.e2e.changing import NS
from tests.e2e.manifests import deployment
from tests.e2e.traffic import Traffic
from tests.lab import product
from tests.lab.wait import until

NAME = "trial"
STEPS = [{"weightPercent": 10, "minDuration": "2s"}, {"weightPercent": 30, "minDuration": "2s"}]
LET_IN: Mapping[str, Any] = {"engine": {"steps": STEPS}, "config": {"steps": STEPS[1:]}, "abort": {"keepCanaryFor": "5s"}}
JUDGED: Mapping[str, Any] = {
    "engine": {"steps": [{"weightPercent": 50, "minDuration": "10m", "maxDuration": "20m"}]},
    "gates": [{"errors": {}}],
}


@dataclass(frozen=True)
class Killed:
    """An engine that was ended: the pod it was of, what that was at, and how many attempts all sidecars made again for it."""

    pod: str
    in_flight: int
    asked_again: float


@dataclass(frozen=True)
class Trial:
    """What is deployed, under which load, and how long its engines may take to be ready and its rollouts to end."""

    profile: str
    replicas: int
    most: int
    rps: float
    streams: int
    stream_s: tuple[int, ...]
    ready_s: float = 120
    ends_s: float = 300
    lasts_s: float = 0

    @property
    def is_stub(self) -> bool:
        """Tell whether its engines only pretend, so that their answers show what they were asked."""
        return self.profile != "vllm"

    def traffic(self, connects_again_after_s: tuple[float, ...] = ()) -> Traffic:
        """Return its load."""
        return Traffic(
            kit.address(NAME, NS),
            NAME,
            rps=self.rps,
            streams=self.streams,
            stream_s=self.stream_s,
            stub=self.is_stub,
            connects_again_after_s=connects_again_after_s,
        )

    def ask_for(self, context: int, words: str, profile: str = "", rollout: Mapping[str, Any] = LET_IN, accelerators: int = 1) -> None:
        """Apply it with a prompt, and a context on which the engine depends; it holds the longest stream."""
        pretended = {"resources": {"cpu": "50m", "memory": "128Mi"}} if self.is_stub else {}
        spec: dict[str, Any] = {
            "engine": {"profile": profile or self.profile, "maxModelLen": context, **pretended},
            "accelerator": {"count": accelerators},
            "prompt": {"inline": {"system": words}},
            "rollout": rollout,
            "replicas": self.replicas,
            "autoscaling": {"mode": "BuiltIn", "minReplicas": self.replicas, "maxReplicas": self.most},
        }
        kit.apply(deployment(NAME, profile=self.profile, **spec), namespace=NS)

    def status(self) -> kit.Object:
        """Return its status."""
        return dict(kit.llm(NAME, NS)["status"])

    def rollout(self) -> kit.Object:
        """Return what its status says of the rollout, empty before there is one."""
        return dict(self.status().get("rollout", {}))

    def latest(self) -> str:
        """Return the revision that the spec of now has become."""
        generation = kit.llm(NAME, NS)["metadata"]["generation"]
        until(lambda: self.status().get("observedGeneration") == generation, timeout_s=180, what="the spec seen")
        return str(self.status()["latestRevision"])

    def follow(self, revision: str, *states: str) -> None:
        """Wait until the rollout of a revision is in one of the states."""

        def there() -> bool:
            now = self.rollout()
            return now.get("revision") == revision and now.get("state") in states

        kit.seconds_until(there, timeout_s=self.ends_s, what=f"{revision} {' or '.join(states)}")

    def promote(self, context: int, words: str, *, kill_operator: bool = False) -> str:
        """Let a change in to its end and return its revision."""
        self.ask_for(context, words)
        revision = self.latest()
        if kill_operator:
            self.follow(revision, "Stepping", "Ratcheting")
            kit.kubectl("-n", product.SYSTEM_NAMESPACE, "delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")
        self.follow(revision, "Promoted")
        # A prompt is at its step for two seconds: between two looks of a busy machine it may have come and gone.
        assert "Stepping" in {each["state"] for each in self.status()["history"] if each["revision"] == revision}
        return revision

    def find_out(self) -> tuple[str, dict[str, float]]:
        """Try an engine that fails every fifth request; return how long its proof took, and how soon after it had no request any more."""
        self.ask_for(1024, "Be exact.", "stub-failing", JUDGED)
        revision = self.latest()
        self.follow(revision, "Stepping", "Aborted")
        tried = time.monotonic()
        self.follow(revision, "Aborted")
        assert "errors" in self.rollout()["message"], self.rollout()
        proven = time.monotonic()
        until(lambda: kit.condition(kit.llm(NAME, NS), "TableProgrammed").get("status") == "True", timeout_s=60, what="no request any more")
        gate = next(each for each in self.status()["gates"] if each["name"] == "errors")
        return revision, {
            "bad_canary_proof_requests": gate["canary"],
            "bad_canary_proof_s": proven - tried,
            "bad_canary_to_zero_s": time.monotonic() - proven,
        }

    def roll_back(self, revision: str, to: str) -> None:
        """Ask for the revision before another, as the command does, and wait until it has taken over."""
        action = f'{{"id":"back","verb":"rollback","revision":"{revision}"}}'
        kit.kubectl("-n", NS, "annotate", "llm", NAME, "--overwrite", f"llmops.dev/action={action}")
        self.follow(to, "Promoted")

    def kill_an_engine(self) -> Killed:
        """End the engine of a pod of stable and wait until it is back."""
        pod, before = self.a_pod_of_stable(), _unserved()
        at = killing.kill_engine(pod, lambda: in_flight(pod))
        until(lambda: _restarts()[pod["metadata"]["name"]] == 1, timeout_s=120, what="the engine started again")
        until(self.all_ready, timeout_s=self.ready_s, what="the engine back")
        return Killed(pod["metadata"]["name"], at, _unserved() - before)

    def a_pod_of_stable(self) -> kit.Object:
        """Return one of the pods of the stable engine."""
        engine = self.status()["stable"]["engine"]
        return next(each for each in kit.pods_of(NAME, NS) if each["metadata"]["labels"]["llmops.dev/engine"] == engine)

    def all_ready(self) -> bool:
        """Tell whether it has as many pods as it should, all of them ready."""
        pods = kit.pods_of(NAME, NS)
        return len(pods) == self.replicas and all(kit.is_ready(pod) for pod in pods)

    def go_on_since(self, began: float) -> None:
        """Let time pass until it has lasted as long as it is to last."""
        threading.Event().wait(max(0.0, self.lasts_s - (time.monotonic() - began)))


def in_flight(pod: kit.Object) -> int:
    """Return how many requests the sidecar of a pod has not answered to their end."""
    return int(kit.request(pod["status"]["podIP"], "GET", "/status", port=9090).json()["inflight"])


def started_again() -> list[tuple[str, str, kit.Object]]:
    """Return which containers have been started again, by pod and name, and how they had ended."""
    every = [(pod, each) for pod in kit.pods_of(NAME, NS) for each in kit.container_statuses(pod)]
    return [(pod["metadata"]["name"], each["name"], each["lastState"]) for pod, each in every if each["restartCount"]]


def _unserved() -> float:
    """Return how many attempts came to nothing before an answer began."""
    return sum(kit.figure(pod["status"]["podIP"], "llm_sidecar_unserved_total") for pod in kit.pods_of(NAME, NS))


def _restarts() -> dict[str, int]:
    return {pod["metadata"]["name"]: sum(kit.each_restart([pod])) for pod in kit.pods_of(NAME, NS)}
