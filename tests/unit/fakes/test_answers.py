import hashlib
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.running import RunningStub, running_stub
from tests.fakes.stub_engine.answer import Text, chat_tokens_of, completion_tokens_of
from tests.fakes.stub_engine.generate import Choice

if TYPE_CHECKING:
    from openai import AsyncOpenAI


async def _post(stub: RunningStub, path: str, body: object) -> tuple[int, bytes]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with aiohttp.ClientSession() as session, session.post(f"{stub.url}{path}", data=raw) as answer:
        return answer.status, await answer.read()


async def test_a_chat_is_answered(client: "AsyncOpenAI") -> None:
    answer = await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hello"}], max_tokens=20)
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.role == "assistant"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (9, 20, 29)


async def test_a_streamed_chat_says_the_same_as_a_whole_one_and_ends_with_usage(stub: RunningStub, client: "AsyncOpenAI") -> None:
    text, chunks = "", []
    stream = await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hello"}], max_tokens=20, stream=True)
    async for chunk in stream:
        chunks.append(chunk)
        text += chunk.choices[0].delta.content or "" if chunk.choices else ""
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:-1]] == ["length"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 20
    request_hash = text.split(" ")[0]
    assert text == Text(request_hash, 0).span(0, 20)
    assert len({chunk.id for chunk in chunks}) == 1
    assert stub.stub.engine.jobs == 0


async def test_completions_whole_and_streamed(client: "AsyncOpenAI") -> None:
    whole = await client.completions.create(model="chat", prompt="hello")
    assert (len(whole.choices), whole.choices[0].finish_reason) == (1, "length")
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (6, 16)
    stream = await client.completions.create(model="chat", prompt="hello", stream=True, max_tokens=5)
    pieces = [chunk async for chunk in stream]
    assert sum(bool(piece.choices) for piece in pieces) == 5
    assert pieces[-1].usage is not None


async def test_without_force_a_stream_has_usage_only_when_asked() -> None:
    async with running_stub() as stub:
        body = {"prompt": "x", "stream": True, "max_tokens": 3}
        _, silent = await _post(stub, "/v1/completions", body)
        _, asked = await _post(stub, "/v1/completions", body | {"stream_options": {"include_usage": True}})
        _, always = await _post(stub, "/v1/completions", body | {"stream_options": {"include_usage": True, "continuous_usage_stats": True}})
    assert (silent.count(b'"usage"'), asked.count(b'"usage"'), always.count(b'"usage"')) == (0, 1, 4)
    assert all(stream.endswith(b"data: [DONE]\n\n") for stream in (silent, asked, always))


async def test_every_answer_carries_the_hash_of_the_request_it_is_for(stub: RunningStub) -> None:
    for raw in (b'{"prompt": "one"}', b'{"prompt": "two"}', b'{"prompt":  "two"}'):
        _, body = await _post(stub, "/v1/completions", raw)
        answer = json.loads(body)
        expected = hashlib.sha256(raw).hexdigest()[:16]
        assert answer["choices"][0]["text"].startswith(expected)
        assert answer["system_fingerprint"].endswith(expected)


async def test_what_the_stub_saw_can_be_asked_for(stub: RunningStub) -> None:
    await _post(stub, "/v1/completions", {"prompt": "one", "top_k": 3})
    async with aiohttp.ClientSession() as session, session.get(f"{stub.url}/-/requests") as answer:
        (seen,) = await answer.json()
    assert (seen["path"], json.loads(seen["body"])) == ("/v1/completions", {"prompt": "one", "top_k": 3})


@given(st.text(max_size=50), st.text(max_size=50), st.sampled_from(["system", "user"]))
def test_a_longer_prompt_moves_prompt_tokens_by_exactly_its_growth(text: str, more: str, role: str) -> None:
    chat = [{"role": role, "content": text}]
    assert chat_tokens_of([{"role": role, "content": text + more}]) - chat_tokens_of(chat) == len(more)
    assert chat_tokens_of([{"role": "system", "content": more}, *chat]) - chat_tokens_of(chat) == len(more) + 2
    assert completion_tokens_of(text + more) - completion_tokens_of(text) == len(more)


def test_content_in_parts_counts_like_content_in_one() -> None:
    parts = [{"type": "text", "text": "he"}, {"type": "text", "text": "llo"}]
    assert chat_tokens_of([{"role": "user", "content": parts}]) == chat_tokens_of([{"role": "user", "content": "hello"}])


@given(
    st.integers(0, 2**64 - 1),
    st.lists(st.integers(0, 60), min_size=1, max_size=6).map(sorted),
    st.sampled_from(["", " a", " caf été", "zzz"]),
)
def test_however_tokens_are_chunked_the_text_is_the_same(seed: int, cuts: list[int], stop: str) -> None:
    text = Text(f"{seed:016x}", 0)
    whole, pieces = Choice(text, (stop,)), Choice(text, (stop,))
    expected = whole.grow(cuts[-1], last=True)
    shown = "".join(pieces.grow(cut, last=index == len(cuts) - 1) for index, cut in enumerate(cuts))
    assert (shown, pieces.made, pieces.stop) == (expected, whole.made, whole.stop)
    assert not stop or stop not in shown


async def test_a_stop_string_ends_the_text_before_it(stub: RunningStub) -> None:
    body = {"prompt": "hello", "max_tokens": 200, "stop": ["\n", " model"]}
    _, raw = await _post(stub, "/v1/completions", body)
    choice = json.loads(raw)["choices"][0]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", " model")
    assert " model" not in choice["text"]
    _, raw = await _post(stub, "/v1/completions", body | {"stream": True})
    events = [json.loads(line[6:]) for line in raw.decode().splitlines() if line.startswith("data: {")]
    assert " model" not in "".join(event["choices"][0]["text"] for event in events if event["choices"])
    assert events[-2]["choices"][0]["stop_reason"] == " model"
    assert events[-1]["usage"]["completion_tokens"] < 20


async def test_several_choices_and_prompts_are_numbered(client: "AsyncOpenAI") -> None:
    answer = await client.completions.create(model="chat", prompt=["one", "two"], n=2, max_tokens=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert len({choice.text for choice in answer.choices}) == 4
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12


async def test_a_chat_without_a_limit_ends_by_itself(client: "AsyncOpenAI") -> None:
    answer = await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hello"}])
    assert (answer.choices[0].finish_reason, answer.usage and answer.usage.completion_tokens) == ("stop", 32)


async def test_an_unknown_model_is_refused_as_vllm_does(openai: Any, client: "AsyncOpenAI") -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.completions.create(model="nope", prompt="x")
    assert caught.value.body == {
        "message": "The model `nope` does not exist. Valid aliases: chat.",
        "type": "NotFoundError",
        "param": "model",
        "code": 404,
    }


async def test_a_prompt_beyond_the_context_is_refused_as_vllm_does(openai: Any) -> None:
    async with (
        running_stub("--max-model-len", "10") as stub,
        openai.AsyncOpenAI(base_url=f"{stub.url}/v1", api_key="x", max_retries=0) as client,
    ):
        with pytest.raises(openai.BadRequestError, match="maximum context length is 10 tokens") as caught:
            await client.completions.create(model="chat", prompt="0123456789")
        assert caught.value.param == "input_tokens"
        answer = await client.completions.create(model="chat", prompt="01234", max_tokens=100)
        assert answer.usage is not None
        assert answer.usage.total_tokens == 10


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", {"prompt": "x", "temperature": "hot"}, "body.temperature"),
        ("/v1/completions", {"prompt": "x", "max_tokens": "many"}, "body.max_tokens"),
        ("/v1/completions", {"prompt": "x", "max_tokens": 0}, "max_tokens"),
        ("/v1/completions", {"prompt": 7}, "body.prompt"),
        ("/v1/completions", {}, "body.prompt"),
        ("/v1/chat/completions", {"messages": "x"}, "body.messages"),
        ("/v1/chat/completions", {"messages": ["x"]}, "body.messages"),
        ("/v1/chat/completions", {"prompt": "x"}, "body.messages"),
        ("/v1/completions", {"prompt": "x", "stop": 7}, "body.stop"),
        ("/v1/completions", {"prompt": "x", "stream_options": True}, "body.stream_options"),
        ("/v1/completions", b"{", "body"),
        ("/v1/completions", b"[]", "body"),
    ],
)
async def test_a_bad_body_is_refused_and_the_field_named(stub: RunningStub, path: str, body: object, param: str) -> None:
    status, answer = await _post(stub, path, body)
    assert (status, json.loads(answer)["error"]["param"]) == (400, param)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nope", 404), ("GET", "/v1/completions", 405), ("POST", "/health", 405)])
async def test_other_paths_answer_in_the_frameworks_shape(stub: RunningStub, method: str, path: str, status: int) -> None:
    async with aiohttp.ClientSession() as session, session.request(method, f"{stub.url}{path}") as answer:
        assert (answer.status, list(await answer.json())) == (status, ["detail"])


async def test_a_key_guards_v1_and_nothing_else() -> None:
    async with running_stub("--api-key", "secret") as stub, aiohttp.ClientSession() as session:
        async with session.get(f"{stub.url}/v1/models") as answer:
            assert (answer.status, await answer.json()) == (401, {"error": "Unauthorized"})
        async with session.get(f"{stub.url}/v1/models", headers={"authorization": "Bearer secret"}) as answer:
            assert answer.status == 200
        async with session.get(f"{stub.url}/metrics") as answer:
            assert answer.status == 200


async def test_models_version_health_load_and_tokenize_answer(stub: RunningStub, client: "AsyncOpenAI") -> None:
    models = await client.models.list()
    assert [model.id for model in models.data] == ["chat"]
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{stub.url}/health") as answer:
            assert (answer.status, await answer.read()) == (200, b"")
        async with session.get(f"{stub.url}/version") as answer:
            assert await answer.json() == {"version": "0.32.0"}
        async with session.get(f"{stub.url}/load") as answer:
            assert await answer.json() == {"server_load": 0}
    _, body = await _post(stub, "/tokenize", {"prompt": "hello"})
    assert json.loads(body)["count"] == 6


async def test_a_request_id_is_echoed_only_when_vllm_would() -> None:
    for flags, expected in (((), None), (("--enable-request-id-headers",), "my-id")):
        async with (
            running_stub(*flags) as stub,
            aiohttp.ClientSession(headers={"x-request-id": "my-id"}) as session,
            session.post(f"{stub.url}/v1/completions", json={"prompt": "x"}) as answer,
        ):
            assert answer.headers.get("x-request-id") == expected
            assert ((await answer.json())["id"] == "cmpl-my-id") == (expected is not None)
