"""The sidecar runs on uvloop, so its tests do too."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop

from bench.record import record
from llm_sidecar.bundle import Bundle
from tests.unit.sidecar.redact import cases
from tests.unit.sidecar.support.engine import Engine, engine_running
from tests.unit.sidecar.support.fleet import Fleet, fleet_running
from tests.unit.sidecar.support.pod import Pod, pod_running

MakePod = Callable[..., Awaitable[Pod]]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], Any]]:  # noqa: ARG001  # the hook's names
    return {"uvloop": uvloop.new_event_loop}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write down what the soak of the redactor has tried."""
    if "REDACTOR_CASES" in os.environ:
        record("soak-redactor", {"texts": cases.drawn, "tests": session.testscollected, "failed": session.testsfailed}, {}, {})


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with engine_running(Engine()) as running:
        yield running


@pytest.fixture
async def make_pod(engine: Engine, tmp_path: Path) -> AsyncIterator[MakePod]:
    async with AsyncExitStack() as stack:

        async def make(bundle: Bundle | bytes | None = Bundle(), **changes: Any) -> Pod:  # noqa: B008  # a bundle is immutable
            return await stack.enter_async_context(pod_running(tmp_path / "snapshot", engine, bundle, **changes))

        yield make


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet_running(tmp_path) as running:
        yield running


@pytest.fixture
async def pod(make_pod: MakePod) -> Pod:
    """Return a sidecar whose bundle changes nothing."""
    return await make_pod()
