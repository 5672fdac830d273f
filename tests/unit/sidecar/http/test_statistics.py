"""What the statistics of a sidecar say about the requests it has served, and whose fault a failure is."""

import asyncio
import json
import math
from collections import Counter

import pytest

from llm_sidecar.bundle import Bundle, Limits
from llm_sidecar.statistics import COLUMNS
from llm_sidecar.table import WHOLE
from tests.unit.sidecar.conftest import MakePod
from tests.unit.sidecar.support.client import post
from tests.unit.sidecar.support.engine import STREAM_HEAD, Request, Script, answers, chunk, http, streams, text_events
from tests.unit.sidecar.support.eventually import eventually
from tests.unit.sidecar.support.fleet import Fleet, text_of
from tests.unit.sidecar.support.pod import Pod, route

ASK = {"prompt": "x"}
COMPLETIONS = "/v1/completions"


async def cut_off(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM_HEAD + chunk(text_events("a")[0]))
    await writer.drain()
    writer.close()


async def sums(pod: Pod) -> dict[str, Counter[str]]:
    """Return the statistics of each revision, summed over its buckets."""
    found = json.loads((await pod.admin_get("/-/stats")).body)
    totals: dict[str, Counter[str]] = {}
    for revision, of in found["revisions"].items():
        total = totals[revision] = Counter()
        for row in of["buckets"].values():
            total.update(dict(zip(COLUMNS, row, strict=True)))
    return totals


async def counted(pod: Pod) -> dict[str, tuple[float, float]]:
    """Return requests and errors of each revision."""
    return {revision: (total["n"], total["errors"]) for revision, total in (await sums(pod)).items()}


async def test_they_are_told_on_the_admin_port_alone(pod: Pod) -> None:
    answer = await pod.admin_get("/-/stats")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert (await pod.get("/-/stats")).status == 404


async def test_an_answer_has_tokens_and_a_stream_has_times_too(pod: Pod) -> None:
    assert (await pod.post(COMPLETIONS, ASK)).status == 200
    pod.engine.script = streams(*text_events(*"abcd"), pause_s=0.05)
    assert (await pod.post(COMPLETIONS, {**ASK, "stream": True})).status == 200
    total = (await sums(pod))["r1"]
    assert (total["n"], total["errors"]) == (2, 0)
    assert (total["promptTokens.n"], total["promptTokens.sum"], total["promptTokens.squares"]) == (2, 14, 98)
    assert (total["completionTokens.n"], total["completionTokens.sum"], total["completionTokens.squares"]) == (2, 10, 50)
    assert (total["logTimeToFirstToken.n"], total["logTimePerOutputToken.n"]) == (1, 1)
    first, per = total["logTimeToFirstToken.sum"], total["logTimePerOutputToken.sum"]
    assert (first**2, per**2) == pytest.approx((total["logTimeToFirstToken.squares"], total["logTimePerOutputToken.squares"]))
    assert math.log(0.03) < per < math.log(2), "four tokens after the first, in some 0.2 s"


@pytest.mark.parametrize(
    ("script", "failed"),
    [
        (answers(http(b'{"error":{"message":"no"}}', "400 Bad Request")), False),
        (answers(http(b'{"error":{"message":"busy"}}', "429 Too Many Requests")), False),
        (answers(http(b'{"error":{"message":"dead"}}', "500 Internal Server Error")), True),
        (answers(b"nonsense\r\n\r\n"), True),
        (streams(*text_events("a")[:1]), True),
        (streams(b'data: {"error":{"message":"dead"}}\n\n', b"data: [DONE]\n\n"), True),
        (streams(b'data: {"choices":[{"index":0,"text":"","finish_reason":"abort"}]}\n\n', b"data: [DONE]\n\n"), True),
        (cut_off, True),
    ],
    ids=["400", "429", "500", "garbage", "no end mark", "error event", "abort", "cut off"],
)
async def test_a_failure_of_the_server_is_an_error_and_a_fault_of_the_client_is_none(pod: Pod, script: Script, failed: bool) -> None:
    pod.engine.script = script
    await pod.post(COMPLETIONS, {**ASK, "stream": True})
    await pod.until(lambda status: status["inflight"] == 0)
    assert await counted(pod) == {"r1": (1, failed)}


async def test_a_client_that_leaves_is_no_error(pod: Pod) -> None:
    async def hang(_request: Request, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    pod.engine.script = hang
    _, writer = await asyncio.open_connection("127.0.0.1", pod.port)
    writer.write(post(COMPLETIONS, ASK))
    await eventually(lambda: pod.engine.requests, "the engine has the request")
    writer.close()
    await pod.until(lambda status: status["inflight"] == 0)
    assert await counted(pod) == {"r1": (1, 0)}


async def test_every_request_without_a_subject_is_a_unit_of_its_own(pod: Pod) -> None:
    for _ in range(30):
        await pod.post(COMPLETIONS, ASK)
    buckets = json.loads((await pod.admin_get("/-/stats")).body)["revisions"]["r1"]["buckets"]
    assert len(buckets) > 15


async def test_units_are_told_for_an_assignment_from_when_another_revision_has_a_share(fleet: Fleet) -> None:
    await fleet.start("e1")
    told = []
    for weight in (0, WHOLE // 2, WHOLE // 4, 0):
        fleet.publish("r1", route("r2", "e1", weight=weight, slot=0))
        await fleet.until_ready()
        told.append(json.loads((await fleet["e1"].admin_get("/-/stats")).body)["assignment"])
    assert told == ["", "s", "s", ""]


async def test_a_request_that_is_handed_on_is_counted_by_its_server_alone(fleet: Fleet) -> None:
    await fleet.start("e1", "e2")
    fleet.publish("r1", route("r2", "e2", weight=WHOLE, slot=0))
    await fleet.until_ready()
    for _ in range(3):
        assert text_of(await fleet["e1"].post(COMPLETIONS, ASK)) == "e2"
    assert await counted(fleet["e1"]) == {}
    assert await counted(fleet["e2"]) == {"r2": (3, 0)}


async def test_a_request_that_takes_too_long_at_another_pod_is_counted_there_alone(fleet: Fleet) -> None:
    async def hang(_request: Request, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    await fleet.start("e1", "e2")
    fleet.publish("r1", route("r2", "e2", weight=WHOLE, slot=0), bundles={"r2": Bundle(limits=Limits(total_timeout_ms=300))})
    await fleet.until_ready()
    fleet["e2"].engine.script = hang
    assert (await fleet["e1"].post(COMPLETIONS, ASK)).status == 504
    await fleet["e2"].until(lambda status: status["inflight"] == 0)
    assert await counted(fleet["e1"]) == {}
    assert await counted(fleet["e2"]) == {"r2": (1, 1)}


async def test_a_fallback_is_an_error_of_the_assigned_revision_and_no_sample_of_the_other(fleet: Fleet) -> None:
    await fleet.start("e1", "e2", "entry")
    fleet.publish("r1", route("r2", "e2", weight=WHOLE, slot=0))
    await fleet.until_ready("e1", "e2")
    await fleet["entry"].until(lambda status: status["generation"] == 1)
    await fleet["e2"].engine.stop()
    for name in ("e1", "entry"):
        assert text_of(await fleet[name].post(COMPLETIONS, ASK)) == "e1"
        assert await counted(fleet[name]) == {"r2": (1, 1)}
    assert await counted(fleet["e2"]) == {}


async def test_what_nobody_serves_is_an_error_of_the_assigned_revision(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=Limits(hold_requests=0)))
    await pod.engine.stop()
    assert (await pod.post(COMPLETIONS, ASK)).status == 503
    assert await counted(pod) == {"r1": (1, 1)}


async def test_an_offer_a_full_pod_does_not_take_is_counted_once(fleet: Fleet) -> None:
    bundle = Bundle(limits=Limits(max_concurrency=1, queue=1, queue_timeout_ms=10_000))
    await fleet.start("e1", "e1-b")
    fleet.publish("r1", bundles={"r1": bundle}, peers=("e1", "e1-b"))
    await fleet.until_ready()
    for pod in fleet.pods.values():
        pod.engine.script = streams(*text_events(*"abcdefghij"), pause_s=0.05)
    body = {**ASK, "stream": True}
    answered = await asyncio.gather(*(fleet[name].post(COMPLETIONS, body) for name in ("e1", "e1-b", "e1")))
    assert [answer.status for answer in answered] == [200] * 3
    counts = [(await counted(pod)).get("r1", (0, 0)) for pod in fleet.pods.values()]
    assert (sum(n for n, _ in counts), sum(errors for _, errors in counts)) == (3, 0)
