"""A full pod offers a request to a pod of its engine that has a slot free, once; then its own queue is the place to wait."""

import asyncio

import pytest

from llm_sidecar.bundle import Bundle, Limits
from llm_sidecar.hop.pool import Pool
from llm_sidecar.table import Peers
from tests.unit.sidecar.support.client import Answer
from tests.unit.sidecar.support.engine import answers, http, streams, text_events
from tests.unit.sidecar.support.eventually import eventually
from tests.unit.sidecar.support.fleet import HOP, Fleet, text_of
from tests.unit.sidecar.support.gate import Gate

SMALL = Bundle(limits=Limits(max_concurrency=1, queue=1, queue_timeout_ms=9_000))
ASK = {"prompt": "x"}


@pytest.fixture
async def twins(fleet: Fleet) -> Fleet:
    """Return two pods of one engine with one slot each, the first of which is taken."""
    await fleet.start("e1", "e1-b")
    fleet.publish("r1", bundles={"r1": SMALL}, peers=["e1", "e1-b"])
    await fleet.until_ready()
    return fleet


async def take(fleet: Fleet, name: str) -> tuple[Gate, asyncio.Task[Answer]]:
    gate = Gate(name)
    fleet[name].engine.script = gate
    running = asyncio.create_task(fleet[name].post("/v1/completions", ASK))
    await eventually(lambda: gate.waiting == 1, "the request at the engine")
    return gate, running


async def test_a_request_goes_to_the_pod_with_a_free_slot_and_comes_back_as_it_is(twins: Fleet) -> None:
    gate, first = await take(twins, "e1")
    answer = await twins["e1"].post("/v1/completions", ASK)
    assert (answer.status, text_of(answer)) == (200, "e1-b")
    assert not {name for name in answer.headers if name.startswith("x-llm-")} - {"x-llm-revision"}
    twins["e1-b"].engine.script = streams(*text_events("a"))
    assert (await twins["e1"].post("/v1/completions", {**ASK, "stream": True})).body.endswith(b"data: [DONE]\n\n")
    assert await twins["e1"].figure("llm_sidecar_hand_offs_total") == 2
    gate.open.set()
    assert text_of(await first) == "e1"


async def test_when_all_are_full_the_request_waits_where_it_came(twins: Fleet) -> None:
    gate, first = await take(twins, "e1")
    other, second = await take(twins, "e1-b")
    third = asyncio.create_task(twins["e1"].post("/v1/completions", ASK))
    await twins["e1"].until(lambda status: status["queued"] == 1)
    assert (await twins["e1-b"].status())["queued"] == 0
    gate.open.set()
    other.open.set()
    assert [text_of(await each) for each in (first, second, third)] == ["e1", "e1-b", "e1"]


async def test_a_pod_that_said_it_is_full_is_not_asked_again_at_once(twins: Fleet) -> None:
    gate, first = await take(twins, "e1")
    other, second = await take(twins, "e1-b")
    waiting = asyncio.create_task(twins["e1"].post("/v1/completions", ASK))
    await twins["e1"].until(lambda status: status["queued"] == 1)
    refused = await twins["e1"].post("/v1/completions", ASK)
    assert (refused.status, refused.error["code"]) == (429, "queue_full")
    assert await twins["e1"].figure("llm_sidecar_hand_offs_total") <= 2
    gate.open.set()
    other.open.set()
    await asyncio.gather(first, second, waiting)


async def test_an_error_of_the_other_pods_engine_is_the_answer(twins: Fleet) -> None:
    gate, first = await take(twins, "e1")
    twins["e1-b"].engine.script = answers(http(b'{"error":{"message":"too long"}}', "400 Bad Request"))
    assert (await twins["e1"].post("/v1/completions", ASK)).status == 400
    gate.open.set()
    await first


async def test_a_client_cannot_pass_for_a_hand_off_and_is_told_no_loads(twins: Fleet) -> None:
    answer = await twins["e1"].post("/v1/completions", ASK, "x-llm-hand-off: 1", "x-llm-hop: 1")
    assert "x-llm-load" not in answer.headers
    trusted = await twins["e1"].post("/v1/completions", ASK, *HOP, "x-llm-revision: r1")
    assert trusted.headers["x-llm-load"] == "0.000"


def test_the_least_loaded_pod_is_chosen_and_what_it_said_soon_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("llm_sidecar.hop.pool.time.monotonic", lambda: now)
    pool = Pool()
    pool.set_peers(Peers(engines={"e1": ("a:1", "b:1", "c:1")}))
    for peer, load in zip(pool._engines["e1"], (b"0.900", b"0.200", b"1.500"), strict=True):
        peer.hear(load)
        peer.hear(b"no number")

    def chosen(own: str = "") -> str | None:
        peer = pool.less_loaded("e1", own)
        return peer.name if peer is not None else None

    assert chosen() == "b:1"
    assert chosen("b:1") == "a:1"
    for peer in pool._engines["e1"][:2]:
        peer.hear(b"1.0")
    assert chosen() is None
    now += 2
    assert chosen() is not None
    assert pool.less_loaded("e9", "") is None
