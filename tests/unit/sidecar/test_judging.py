"""Every stage with every fault under every policy: in a request, in a whole answer, in a stream."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from llm_sidecar import bundle, judging, texts
from llm_sidecar.bundle import BlocklistStage, NormaliseStage, PiiStage, SchemaStage, TrimStage
from llm_sidecar.errors import Refusal
from llm_sidecar.judging import Judging
from llm_sidecar.pipeline import BodyStep, Pipeline, Step, compile_pipeline
from llm_sidecar.stage_metrics import StageMetrics
from llm_sidecar.stages import Block
from llm_sidecar.stream.guarded import Guarded
from llm_sidecar.stream.relay import Relay, Wish
from tests.unit.sidecar.support.engine import text_events
from tests.unit.sidecar.support.faulty import FAULTS, REASONS, REFUSALS, Fault, Faulty

STAGES: dict[str, bundle.Stage] = {
    "schema": SchemaStage(schema={}),
    "normalise": NormaliseStage(),
    "pii": PiiStage(entities=("email",)),
    "blocklist": BlocklistStage(terms=("secret",)),
    "trim": TrimStage(),
}
TIMES_MS = {"raise": 10_000, "garbage": 10_000, "hang": 50, "slow": 20}
EVENTS = text_events("one ", "two", always=False, at_end=False)


class Bench:
    """Runs one faulty stage and says what came of it."""

    def __init__(self, stage: str, fault: Fault, policy: bundle.Policy) -> None:
        self.stage = Faulty(fault, is_broken=True, slow_s=0.05)
        spec = msgspec.structs.replace(STAGES[stage], on_error=policy, timeout_ms=TIMES_MS[fault])
        compiled = compile_pipeline(bundle.Pipeline(request=(spec,), response=(spec,)))
        self.request: tuple[Step | BodyStep, ...] = tuple(replace(step, stage=self.stage) for step in compiled.request)  # type: ignore[arg-type]
        self.response = tuple(replace(step, stage=self.stage) for step in compiled.response)
        self.registry = CollectorRegistry()
        self.judging = Judging(StageMetrics(self.registry))

    def figure(self, name: str) -> float:
        rows = [line for line in generate_latest(self.registry).decode().splitlines() if line.startswith(name)]
        return sum(float(row.rpartition(" ")[2]) for row in rows)


@pytest.fixture
def bench(stage: str, fault: Fault, policy: bundle.Policy) -> Iterator[Bench]:
    made = Bench(stage, fault, policy)
    yield made
    made.stage.let_go.set()


matrix = [
    pytest.mark.parametrize("policy", ["Open", "Closed"]),
    pytest.mark.parametrize("fault", FAULTS),
    pytest.mark.parametrize("stage", STAGES),
]


def every_case(test: Any) -> Any:
    for mark in matrix:
        test = mark(test)
    return test


@every_case
@pytest.mark.parametrize("whole_answer", [False, True])
async def test_in_a_request_and_in_a_whole_answer(
    bench: Bench, stage: str, fault: Fault, policy: bundle.Policy, whole_answer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "INLINE_BYTES", 0)  # in a thread, where what hangs can be left behind
    body = {"prompt": "hi"}
    found = texts.of_request(body)
    if whole_answer:
        running = bench.judging.answer(Pipeline((), bench.response, "", None), found, 1)
    else:
        running = bench.judging.request(bench.request, body, 1)
    if policy == "Open":
        assert await running is False
        assert bench.judging.bypassed == [f"{stage}={REASONS[fault]}"]
        assert bench.figure("llm_sidecar_stage_bypass_total{") == 1
    else:
        with pytest.raises(Refusal) as caught:
            await running
        assert (caught.value.status, caught.value.code, caught.value.stage) == (*REFUSALS[fault], stage)
    assert body == {"prompt": "hi"}
    assert [text.value for text in found] == ["hi"]
    assert bench.figure("llm_sidecar_stage_duration_seconds_count") == 1


@every_case
def test_in_a_stream(bench: Bench, stage: str, fault: Fault, policy: bundle.Policy) -> None:
    if fault == "hang":
        bench.stage.fault = "slow"  # a piece of a stream is too small for a thread: it is late at worst
    stream = Guarded(Relay(Wish.NOTHING), bench.response, bench.judging)
    if policy == "Open":
        out = b"".join([stream.feed(event) for event in EVENTS]) + stream.finish()
        told = f": x-llm-degraded: {stage}={REASONS[fault]}\n\n".encode()
        assert told in out
        assert out.replace(told, b"") == b"".join(EVENTS)
    else:
        with pytest.raises(Refusal) as caught:
            stream.feed(EVENTS[0])
        assert (caught.value.status, caught.value.code, caught.value.stage) == (*REFUSALS[fault], stage)
        last = stream.fail(caught.value)
        assert b"one" not in last
        assert last.endswith(b"data: [DONE]\n\n")


async def test_a_stage_that_hangs_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "INLINE_BYTES", 10)
    bench = Bench("pii", "hang", "Closed")
    stuck = asyncio.create_task(bench.judging.request(bench.request, {"prompt": "hi"}, 11))
    fine = compile_pipeline(bundle.Pipeline(request=(TrimStage(),))).request
    assert await Judging(StageMetrics(CollectorRegistry())).request(fine, {"prompt": " hi"}, 11) is True
    with pytest.raises(Refusal):
        await stuck
    bench.stage.let_go.set()


async def test_a_failure_is_logged_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench("pii", "raise", "Open")
    for _ in range(3):
        await bench.judging.request(bench.request, {"prompt": "hi"}, 1)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "pii" in record.getMessage()


async def test_a_verdict_that_is_open_is_counted_as_what_it_was_and_what_followed() -> None:
    bench = Bench("blocklist", "raise", "Closed")
    step = replace(bench.response[0], policy=replace(bench.response[0].policy, fail_open=True))
    bench.stage.is_broken = False
    bench.stage.judge = lambda _text: Block("no")  # type: ignore[method-assign]
    await bench.judging.request((step,), {"prompt": "hi"}, 1)
    assert bench.figure('llm_sidecar_stage_verdict_total{action="bypass",stage="blocklist",verdict="block"}') == 1
    assert bench.judging.bypassed == ["blocklist=blocked"]
