"""Another engine under requests and streams: what is asked of such a change wherever it is made.

Failed is what a client would call so: an abort, an error in a stream, no [DONE], a text that stops short, any status but 200. 429 and 503
with Retry-After are told apart, and there is to be none of them either.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from tests.e2e import figures, kit
from tests.e2e.held import Held
from tests.e2e.manifests import deployment
from tests.e2e.traffic import Traffic
from tests.e2e.waiting import Waiting
from tests.lab.wait import until

NS = "llm-e2e"
OTHER: Mapping[str, Any] = {"engine": {"maxModelLen": 1024}, "prompt": {"inline": {"system": "Another engine has another prompt."}}}
"""What an edit changes: two revisions with one prompt could not be told apart by what engines are sent."""


@dataclass(frozen=True)
class Subject:
    """One LLMDeployment whose engine is changed, whether that needs a spare accelerator, and by which steps it is let in, if any."""

    name: str
    replicas: int = 1
    profile: str = "stub-slow"
    replaces: bool = False
    steps: tuple[Mapping[str, Any], ...] = ()
    load: Mapping[str, Any] = field(default_factory=dict)

    @property
    def road(self) -> str:
        """Return how its engine is changed, in a word."""
        return "replace" if self.replaces else "steps" if self.steps else "surge"

    def apply(self, **change: Any) -> None:
        """Apply it, with spec fields laid over it."""
        rollout: dict[str, Any] = {"capacity": {"mode": "Replace"}} if self.replaces else {}
        rollout |= {"engine": {"steps": list(self.steps)}} if self.steps else {}
        kit.apply(deployment(self.name, profile=self.profile, replicas=self.replicas, rollout=rollout, **change), namespace=NS)

    @contextmanager
    def deployed(self) -> Iterator[None]:
        """Have it settled while the block runs."""
        self.apply()
        kit.wait_settled(self.name, NS, self.replicas, timeout_s=300)
        yield
        kit.kubectl("-n", NS, "delete", "llm", self.name, "--wait=false")


@dataclass(frozen=True)
class Outcome:
    """How many accelerators were held and how many requests waited, at most."""

    accelerators: int
    waiting: int


def change_under_load(subject: Subject, rps: float, streams: int) -> Outcome:
    """Change the engine of what is deployed under load, and judge every answer."""
    name = subject.name
    traffic = Traffic(kit.address(name, NS), name, rps, streams, stub=subject.profile != "vllm", **subject.load)
    with Held(name, NS) as held, Waiting(name, NS) if subject.replaces else nullcontext() as waiting:
        with traffic:
            old, new, took_s = _change(subject)
        until(lambda: held.now == subject.replicas, timeout_s=180, what="the old pods gone")
    seen, waited = traffic.seen, waiting.peak if waiting else 0
    counts = {"requests": seen.sent, "streams": seen.streams, "failed": len(seen.failures), "declared": len(seen.declared)}
    load = {"rps": rps, "open_streams": streams}
    figures.record(
        f"engine_edit_{subject.profile}_{subject.road}_{subject.replicas}",
        took_s=took_s,
        accelerators_peak=held.peak,
        waiting_peak=waited,
        **load,
        **counts,
    )
    assert (seen.failures, seen.mixed()) == ([], [])
    # A real engine on two cores may have to say that it is full, with when to come again; who is held for a Replace is never told so.
    assert seen.declared == [] or (subject.profile == "vllm" and not subject.replaces and len(seen.declared) < seen.sent / 100)
    assert set(seen.revisions) == {old, new}
    return Outcome(held.peak, waited)


def _change(subject: Subject) -> tuple[str, str, float]:
    """Change engine and prompt at once, and wait until nothing is left of the old engine but pods that finish what they have."""
    before, start = kit.llm(subject.name, NS)["status"]["stable"], time.monotonic()
    subject.apply(**OTHER)
    now = kit.wait_settled(subject.name, NS, subject.replicas, timeout_s=400)["status"]["stable"]
    until(lambda: _engines(subject.name) == {now["engine"]}, timeout_s=120, what="the old Deployment gone")
    assert now["engine"] != before["engine"]
    return before["revision"], now["revision"], time.monotonic() - start


def _engines(name: str) -> set[str]:
    labels = [each["metadata"]["labels"] for each in kit.items("deployments", NS, f"llmops.dev/deployment={name}")]
    return {each["llmops.dev/engine"] for each in labels if "llmops.dev/engine" in each}
