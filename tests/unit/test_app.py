import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llm_operator import app
from llm_operator.core import kinds
from llm_operator.shell.errors import TransientError
from tests.fakes.cluster import Call, FakeCluster, Fault

HERE = Path(__file__).resolve().parents[2]


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


def test_a_configuration_that_cannot_be_used_ends_the_process_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("images: {}\n")
    roots = os.pathsep.join([str(HERE / "operator"), str(HERE / "images/sidecar")])
    done = subprocess.run(
        [sys.executable, "-m", "llm_operator"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": roots, "LLM_OPERATOR_CONFIG": str(path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert str(path) in done.stdout
    assert "engineProfiles" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
