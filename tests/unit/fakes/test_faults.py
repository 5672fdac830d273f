import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.fakes.running import RunningStub, running_stub
from tests.fakes.stub_engine.faults import FaultBox, Faults

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}


async def _get(stub: RunningStub, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"{stub.url}{path}") as answer:
        return answer.status, (await answer.read()).decode()


async def _streamed(stub: RunningStub, **changes: Any) -> str:
    body = CHAT | {"stream": True} | changes
    async with aiohttp.ClientSession() as session, session.post(f"{stub.url}/v1/chat/completions", json=body) as answer:
        text = ""
        async for line in answer.content:
            text += line.decode()
        return text


async def test_faults_are_switched_over_http_and_off_again(stub: RunningStub) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{stub.url}/-/faults", json={"unhealthy": True, "error_rate": 0.5}) as answer:
            assert (await answer.json())["error_rate"] == 0.5
        assert (await _get(stub, "/health"))[0] == 503
        async with session.delete(f"{stub.url}/-/faults") as answer:
            assert await answer.json() == json.loads((await _get(stub, "/-/faults"))[1])
    assert (await _get(stub, "/health"))[0] == 200
    assert stub.stub.faults.now == Faults()


async def test_errors_may_be_for_some_requests_only(stub: RunningStub) -> None:
    stub.switch(error_rate=1.0, error_words="Be rude.")
    async with aiohttp.ClientSession() as session:
        for words, status in (("hello", 200), ("Be rude.", 500)):
            body = {**CHAT, "messages": [{"role": "user", "content": words}]}
            async with session.post(f"{stub.url}/v1/chat/completions", json=body) as answer:
                assert answer.status == status


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"eror_rate": 1}, "no fault 'eror_rate': there are error_rate,"),
        ({"error_rate": "1"}, "'error_rate' is '1'"),
        ({"unhealthy": 1}, "'unhealthy' is 1"),
        ({"metrics": "odd"}, "it may be"),
    ],
)
async def test_a_fault_that_is_not_understood_changes_nothing(stub: RunningStub, changes: dict[str, Any], words: str) -> None:
    async with aiohttp.ClientSession() as session, session.post(f"{stub.url}/-/faults", json={"hang_rate": 1.0} | changes) as answer:
        assert answer.status == 400
        assert words in (await answer.json())["error"]
    assert stub.stub.faults.now == Faults()


async def test_faults_can_be_on_from_the_start() -> None:
    async with running_stub(faults={"unhealthy": True}) as stub:
        assert (await _get(stub, "/health"))[0] == 503


async def test_an_error_has_vllms_shape_and_the_wanted_status(openai: Any, stub: RunningStub, client: "AsyncOpenAI") -> None:
    stub.switch(error_rate=1.0)
    with pytest.raises(openai.InternalServerError, match="EngineCore encountered an issue"):
        await client.chat.completions.create(**CHAT)
    stub.switch(error_rate=1.0, error_status=503)
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(**CHAT)
    assert caught.value.status_code == 503


def test_the_same_seed_hits_the_same_requests_at_about_the_wanted_rate() -> None:
    first, again, other = (FaultBox({"STUB_SEED": seed}) for seed in "112")
    hits = [first.hits(0.2) for _ in range(2000)]
    assert hits == [again.hits(0.2) for _ in range(2000)]
    assert hits != [other.hits(0.2) for _ in range(2000)]
    assert 330 < sum(hits) < 470


async def test_a_hanging_request_hangs_until_the_client_leaves_while_health_stays_good(stub: RunningStub, client: "AsyncOpenAI") -> None:
    stub.switch(hang_rate=1.0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.chat.completions.create(**CHAT), 0.2)
    assert (await _get(stub, "/health"))[0] == 200
    stub.switch()
    assert (await client.chat.completions.create(**CHAT)).choices


async def test_latency_comes_before_the_first_token(stub: RunningStub, client: "AsyncOpenAI") -> None:
    stub.switch(latency_s=0.2)
    started = asyncio.get_running_loop().time()
    stream = await client.chat.completions.create(**CHAT, stream=True)
    assert asyncio.get_running_loop().time() - started < 0.2
    await anext(aiter(stream))
    assert asyncio.get_running_loop().time() - started >= 0.2
    await stream.close()


async def test_a_stream_can_be_cut_off(stub: RunningStub) -> None:
    stub.switch(abort_rate=1.0, abort_after_tokens=5)
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
        await _streamed(stub)


async def test_a_stream_can_end_in_an_error_event(openai: Any, stub: RunningStub, client: "AsyncOpenAI") -> None:
    stub.switch(abort_rate=1.0, abort_after_tokens=5, abort_how="error")
    text = await _streamed(stub)
    assert '"content":' in text
    assert text.endswith('"param":null,"code":500}}\n\ndata: [DONE]\n\n')
    with pytest.raises(openai.APIError, match="EngineCore"):
        async for _ in await client.chat.completions.create(**CHAT, stream=True):
            pass
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(**CHAT)


async def test_a_request_can_be_aborted_with_status_200(stub: RunningStub, client: "AsyncOpenAI") -> None:
    stub.switch(abort_rate=1.0, abort_after_tokens=5, abort_how="finish")
    answer = await client.chat.completions.create(**CHAT)
    assert (answer.choices[0].finish_reason, answer.usage and answer.usage.completion_tokens) == ("abort", 5)
    text = await _streamed(stub)
    assert '"finish_reason":"abort"' in text
    assert text.endswith("data: [DONE]\n\n")


async def test_a_whole_answer_can_be_cut_off(openai: Any, stub: RunningStub, client: "AsyncOpenAI") -> None:
    stub.switch(abort_rate=1.0)
    with pytest.raises(openai.APIConnectionError):
        await client.chat.completions.create(**CHAT)


@pytest.mark.parametrize("how", ["json", "sse"])
async def test_answers_can_be_garbage_in_well_formed_http(stub: RunningStub, how: str) -> None:
    stub.switch(garbage=how)
    text = await _streamed(stub)
    assert ("[DONE]" in text) == (how == "json")
    whole = await _streamed(stub, stream=False)
    with pytest.raises(json.JSONDecodeError):
        json.loads(whole)


async def test_answers_can_be_no_http_at_all(stub: RunningStub) -> None:
    stub.switch(garbage="http")
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await _streamed(stub)


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ("missing", 404, "Not Found"),
        ("error", 500, "Error"),
        ("empty", 200, ""),
        ("nan", 200, "} NaN"),
        ("garbage", 200, "\0"),
        ("foreign", 200, "other:"),
    ],
)
async def test_metrics_can_be_wrong_while_requests_are_served(
    stub: RunningStub, client: "AsyncOpenAI", how: str, status: int, words: str
) -> None:
    stub.switch(metrics=how)
    found, text = await _get(stub, "/metrics")
    assert (found, words in text) == (status, True)
    assert ("vllm:num_requests_running{" in text) == (how == "nan")
    assert (await client.chat.completions.create(**CHAT)).choices


async def test_metrics_can_hang(stub: RunningStub) -> None:
    stub.switch(metrics="hang")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_get(stub, "/metrics"), 0.2)


async def test_counters_can_be_reset_as_by_a_restart(stub: RunningStub, client: "AsyncOpenAI") -> None:
    await client.chat.completions.create(**CHAT)
    line = 'vllm:generation_tokens_total{engine="0",model_name="chat"}'
    assert f"{line} 20.0" in (await _get(stub, "/metrics"))[1]
    async with aiohttp.ClientSession() as session, session.post(f"{stub.url}/-/faults", json={"metrics": "reset"}) as answer:
        assert (await answer.json())["metrics"] == ""
    assert f"{line} 0.0" in (await _get(stub, "/metrics"))[1]
