"""When the engine counts as serving."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from llm_sidecar.engine.client import UpstreamClient
from llm_sidecar.engine.health import Health
from tests.unit.sidecar.support.engine import Engine, http
from tests.unit.sidecar.support.eventually import eventually


class Watched:
    """A health watch whose every look a test calls for."""

    def __init__(self, engine: Engine, idle_s: float = 10.0) -> None:
        self.client = UpstreamClient("127.0.0.1", engine.port)
        self.inflight = 0
        self.health = Health(self.client, "chat", lambda: self.inflight, idle_s=idle_s, token_timeout_s=0.3, check_timeout_s=0.2)


@pytest.fixture
async def watched(engine: Engine) -> AsyncIterator[Watched]:
    made = Watched(engine)
    yield made
    made.client.close()


@pytest.fixture
async def idle(engine: Engine) -> AsyncIterator[Watched]:
    made = Watched(engine, idle_s=-1.0)
    yield made
    made.client.close()


async def test_one_token_makes_it_ready_and_is_not_asked_again_soon(watched: Watched, engine: Engine) -> None:
    for _ in range(3):
        await watched.health.look()
        assert watched.health.ready
    assert engine.probes == 1


async def test_an_idle_engine_is_asked_for_a_token_now_and_then(idle: Watched, engine: Engine) -> None:
    for _ in range(3):
        await idle.health.look()
    assert engine.probes == 3
    engine.probe_answer = http(b"broken", "500 x")
    await idle.health.look()
    assert (idle.health.ready, idle.health.reason) == (False, "EngineProbeFailed")
    assert "broken" in idle.health.message


async def test_a_busy_engine_is_never_asked_for_a_token(idle: Watched, engine: Engine) -> None:
    await idle.health.look()
    engine.probe_answer = http(b"too busy", "503 Service Unavailable")
    idle.inflight = 1
    await idle.health.look()
    assert idle.health.ready
    assert engine.probes == 1


async def test_a_slow_health_answer_of_a_busy_engine_changes_nothing(watched: Watched, engine: Engine) -> None:
    await watched.health.look()
    engine.health_delay_s = 1.0
    await watched.health.look()
    assert watched.health.ready


async def test_requests_that_succeed_take_the_place_of_probes(watched: Watched, engine: Engine) -> None:
    await watched.health.look()
    watched.health.succeeded()
    await watched.health.look()
    assert engine.probes == 1


async def test_a_token_that_does_not_come_in_time_is_a_failure(watched: Watched, engine: Engine) -> None:
    engine.probe_answer = b""
    await watched.health.look()
    assert (watched.health.ready, watched.health.reason) == (False, "EngineProbeFailed")
    assert "no token within 0.3 s" in watched.health.message


async def test_refused_before_the_first_token_is_starting_and_after_it_unreachable(watched: Watched, engine: Engine) -> None:
    await engine.stop()
    await watched.health.look()
    assert watched.health.reason == "EngineStarting"
    await engine.start()
    await watched.health.look()
    assert watched.health.ready
    await engine.stop()
    for _ in range(2):
        await watched.health.look()
        assert (watched.health.ready, watched.health.reason) == (False, "EngineUnreachable")


async def test_an_engine_that_says_it_died_is_dead(watched: Watched, engine: Engine) -> None:
    await watched.health.look()
    engine.health_status = "503 Service Unavailable"
    await watched.health.look()
    assert (watched.health.ready, watched.health.reason) == (False, "EngineDead")


async def test_a_suspicion_is_looked_into_at_once(engine: Engine) -> None:
    client = UpstreamClient("127.0.0.1", engine.port)
    health = Health(client, "chat", lambda: 0, period_s=60)
    watching = asyncio.create_task(health.watch())
    await eventually(lambda: health.ready, "the first token")
    await engine.stop()
    health.suspect()
    await eventually(lambda: not health.ready, "the look")
    watching.cancel()
    client.close()
