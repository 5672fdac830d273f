"""Another engine under requests and streams: none is lost, and no more accelerators are held than promised. Stub engines.

Failed is what a client would call so: an abort, an error in a stream, no [DONE], a text that stops short, any status but 200. 429 and 503
with Retry-After are told apart, and there is to be none of them either. Behind the tests that share the node: this load needs all of it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e import figures, kit
from tests.e2e.held import Held
from tests.e2e.manifests import deployment
from tests.e2e.traffic import Traffic
from tests.lab.wait import until

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.order_last, pytest.mark.timeout(600)]

NS = "llm-e2e"
RPS = 20
STREAMS = 30


def _engine(max_model_len: int) -> kit.Object:
    return {"profile": "stub-slow", "maxModelLen": max_model_len}


@contextmanager
def _deployed(name: str, replicas: int, **spec: Any) -> Iterator[str]:
    """Give the address of a settled LLMDeployment."""
    kit.apply(deployment(name, replicas=replicas, engine=_engine(2048), **spec), namespace=NS)
    kit.wait_settled(name, NS, replicas, timeout_s=300)
    yield kit.address(name, NS)
    kit.kubectl("-n", NS, "delete", "llm", name, "--wait=false")


def _engines(name: str) -> set[str]:
    labels = [each["metadata"]["labels"] for each in kit.items("deployments", NS, f"llmops.dev/deployment={name}")]
    return {each["llmops.dev/engine"] for each in labels if "llmops.dev/engine" in each}


@dataclass(frozen=True)
class _Changed:
    old: str
    new: str
    took_s: float


def _change(name: str, replicas: int, **spec: Any) -> _Changed:
    """Change engine and prompt at once, and wait until nothing is left of the old engine but pods that finish what they have."""
    before, start = kit.llm(name, NS)["status"]["stable"], time.monotonic()
    words: kit.Object = {"inline": {"system": "Another engine has another prompt."}}
    kit.apply(deployment(name, replicas=replicas, engine=_engine(1024), prompt=words, **spec), namespace=NS)
    now = kit.wait_settled(name, NS, replicas, timeout_s=300)["status"]["stable"]
    until(lambda: _engines(name) == {now["engine"]}, timeout_s=120, what="the old Deployment gone")
    assert now["engine"] != before["engine"]
    return _Changed(before["revision"], now["revision"], time.monotonic() - start)


def _change_under_load(name: str, replicas: int, **spec: Any) -> int:
    """Change the engine under load, judge every answer, and return how many accelerators were held at most."""
    with _deployed(name, replicas, **spec) as host, Held(name, NS) as held:
        with Traffic(host, name, RPS, STREAMS) as traffic:
            changed = _change(name, replicas, **spec)
        until(lambda: held.now == replicas, timeout_s=180, what="the old pods gone")
    seen = traffic.seen
    counts = {"requests": seen.sent, "streams": seen.streams, "failed": len(seen.failures), "declared": len(seen.declared)}
    figures.record(f"engine_edit_{name}", took_s=changed.took_s, accelerators_peak=held.peak, **counts)
    assert (seen.failures, seen.declared, seen.mixed()) == ([], [], [])
    assert set(seen.revisions) == {changed.old, changed.new}
    return held.peak


@pytest.mark.parametrize("replicas", [3, 1] if figures.SOAK else [3])
def test_an_engine_edit_loses_nothing_and_holds_one_accelerator_more(replicas: int) -> None:
    assert _change_under_load(f"surge-{replicas}", replicas) == replicas + 1
