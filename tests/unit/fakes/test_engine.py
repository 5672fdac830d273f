import asyncio
import re
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.running import RunningStub, running_stub

if TYPE_CHECKING:
    from openai import AsyncOpenAI


async def _series(stub: RunningStub) -> dict[str, float]:
    """Return every sample by name and its labels besides engine and model."""
    async with aiohttp.ClientSession() as session, session.get(f"{stub.url}/metrics") as answer:
        text = await answer.text()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()) if name not in {"engine", "model_name"})
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def _client(openai: Any, stub: RunningStub) -> "AsyncOpenAI":
    made: AsyncOpenAI = openai.AsyncOpenAI(base_url=f"{stub.url}/v1", api_key="none", max_retries=0, timeout=20)
    return made


async def test_what_was_served_is_counted_as_vllm_counts(stub: RunningStub, client: "AsyncOpenAI") -> None:
    await client.completions.create(model="chat", prompt="hello", max_tokens=20)
    await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hello"}])
    series = await _series(stub)
    assert series["vllm:prompt_tokens_total"] == 6 + 9
    assert series["vllm:generation_tokens_total"] == 20 + 32
    assert series["vllm:request_success_total{finished_reason=length}"] == 1
    assert series["vllm:request_success_total{finished_reason=stop}"] == 1
    assert series["vllm:request_prompt_tokens_bucket{le=10.0}"] == 2
    assert series["vllm:request_prompt_tokens_bucket{le=5.0}"] == 0
    assert series["vllm:time_to_first_token_seconds_count"] == 2
    assert series["vllm:inter_token_latency_seconds_count"] == 19 + 31
    assert series["vllm:num_requests_running"] == 0
    assert series["http_requests_total{handler=/v1/completions,method=POST,status=2xx}"] == 1


async def test_a_fresh_engine_shows_every_series_at_zero(stub: RunningStub) -> None:
    series = await _series(stub)
    assert series["vllm:num_requests_waiting_by_reason{reason=capacity}"] == 0
    assert series["vllm:request_success_total{finished_reason=error}"] == 0
    assert series["vllm:admission_rejections_total{reason=max_num_queued_reqs}"] == 0
    assert series["vllm:engine_sleep_state{sleep_state=awake}"] == 1
    assert series["vllm:e2e_request_latency_seconds_bucket{le=0.3}"] == 0
    assert series["vllm:prompt_tokens_created"] > 1e9


async def test_requests_beyond_the_slots_wait_and_are_shown_waiting(openai: Any) -> None:
    async with running_stub("--max-num-seqs", "2", env={"STUB_TOKENS_PER_S": "200"}) as stub, _client(openai, stub) as client:
        requests = [asyncio.create_task(client.completions.create(model="chat", prompt=str(number), max_tokens=40)) for number in range(5)]
        await _until(stub, running=2, waiting=3)
        series = await _series(stub)
        assert series["vllm:num_requests_waiting_by_reason{reason=capacity}"] == 3
        assert 0 < series["vllm:kv_cache_usage_perc"] < 0.01
        assert len({answer.choices[0].text for answer in await asyncio.gather(*requests)}) == 5
        assert (await _series(stub))["vllm:num_requests_running"] == 0


async def test_a_client_that_leaves_gives_its_slot_to_the_next_and_counts_as_aborted(openai: Any) -> None:
    async with running_stub("--max-num-seqs", "1", env={"STUB_TOKENS_PER_S": "100"}) as stub, _client(openai, stub) as client:
        first = await client.completions.create(model="chat", prompt="x", max_tokens=5000, stream=True)
        waiting = asyncio.create_task(client.completions.create(model="chat", prompt="waits", max_tokens=5000))
        served = asyncio.create_task(client.completions.create(model="chat", prompt="is next", max_tokens=2))
        await _until(stub, running=1, waiting=2)
        waiting.cancel()
        await first.close()
        assert (await asyncio.wait_for(served, 5)).choices
        await _until(stub, running=0, waiting=0)
        assert (await _series(stub))["vllm:request_success_total{finished_reason=abort}"] == 2


async def test_admission_beyond_the_limit_is_refused_and_counted(openai: Any) -> None:
    async with running_stub("--max-num-queued-reqs", "1", env={"STUB_TOKENS_PER_S": "100"}) as stub, _client(openai, stub) as client:
        stream = await client.completions.create(model="chat", prompt="x", max_tokens=500, stream=True)
        await anext(aiter(stream))
        with pytest.raises(openai.APIStatusError, match="currently busy") as caught:
            await client.completions.create(model="chat", prompt="y")
        assert caught.value.status_code == 503
        assert (await _series(stub))["vllm:admission_rejections_total{reason=max_num_queued_reqs}"] == 1
        await stream.close()


async def test_tokens_come_at_the_configured_pace(openai: Any) -> None:
    async with running_stub(env={"STUB_TOKENS_PER_S": "100", "STUB_TTFT_S": "0.1"}) as stub, _client(openai, stub) as client:
        started = asyncio.get_running_loop().time()
        await client.completions.create(model="chat", prompt="x", max_tokens=31)
        assert asyncio.get_running_loop().time() - started >= 0.1 + 30 / 100
        series = await _series(stub)
    assert series["vllm:time_to_first_token_seconds_bucket{le=0.08}"] == 0
    assert series["vllm:time_to_first_token_seconds_sum"] >= 0.1


async def test_a_long_prompt_takes_its_time_when_prefill_is_slow(openai: Any) -> None:
    async with running_stub(env={"STUB_TTFT_S": "0", "STUB_PREFILL_TOKENS_PER_S": "1000"}) as stub, _client(openai, stub) as client:
        started = asyncio.get_running_loop().time()
        await client.completions.create(model="chat", prompt="x" * 200, max_tokens=1)
        assert asyncio.get_running_loop().time() - started >= 0.2


async def test_hundreds_of_streams_at_once_are_all_complete() -> None:
    async with (
        running_stub(env={"STUB_TOKENS_PER_S": "40"}) as stub,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):

        async def one(number: int) -> str:
            body = {"prompt": f"number {number}", "max_tokens": 30, "stream": True}
            async with session.post(f"{stub.url}/v1/completions", json=body) as answer:
                return (await answer.read()).decode()

        streams = await asyncio.gather(*(one(number) for number in range(300)))
        assert all(stream.endswith("data: [DONE]\n\n") and stream.count('"length"') == 1 for stream in streams)
        hashes = {re.search(r'"text":"([0-9a-f]{16})', stream) for stream in streams}
        assert None not in hashes
        assert len({found.group(1) for found in hashes if found}) == 300


async def _until(stub: RunningStub, *, running: int, waiting: int) -> None:
    async def reached() -> None:
        while True:
            series = await _series(stub)
            if (series["vllm:num_requests_running"], series["vllm:num_requests_waiting"]) == (running, waiting):
                return

    await asyncio.wait_for(reached(), 10)
