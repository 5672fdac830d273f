import asyncio
import socket
from typing import Any

import pytest

from llm_operator import app
from llm_operator.core import kinds
from llm_operator.shell.errors import TransientError
from tests.fakes.cluster import Call, FakeCluster, Fault


def cluster(**options: Any) -> Any:
    """Return a cluster in memory in place of the real one: only the Cluster port is used of it."""
    return FakeCluster(**options)


async def test_a_cluster_without_the_crds_is_refused_with_what_to_do() -> None:
    with pytest.raises(app.StartError, match=r"does not have llmprompts\.llmops\.dev; install the CRDs first: kubectl apply"):
        await app._check_kinds(cluster(served=frozenset({kinds.LLM_DEPLOYMENT})), asyncio.Event())


async def test_an_api_server_that_is_not_there_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_KNOCK_S", 0.01)
    away = Fault(TransientError(0, "Unreachable", "nobody there"), lambda call: call == Call("serves", "LLMDeployment"), times=3)
    await asyncio.wait_for(app._check_kinds(cluster(faults=[away]), asyncio.Event()), 5)
    assert away.fired == 3


async def test_who_is_told_to_stop_does_not_wait_for_the_api_server() -> None:
    stop = asyncio.Event()
    away = Fault(TransientError(0, "Unreachable", "nobody there"), lambda _: True, times=1_000)
    waiting = asyncio.create_task(app._check_kinds(cluster(faults=[away]), stop))
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(waiting, 1)


def test_no_two_processes_have_the_same_identity() -> None:
    assert app.identity() != app.identity()
    assert app.identity().startswith(f"{socket.gethostname()}_")
