"""The official client against sidecar and the real vLLM, case by case; the weights are random, what is asked of answers is not."""

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pydantic
import pytest

from tests.e2e import kit
from tests.e2e import platform as platform_of
from tests.e2e.manifests import SYSTEM, api_keys, deployment
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(900)

NS = "llm-e2e"
NAME = "official"
KEY = "sk-official"
READY_S = 400  # 30 s on a quiet machine, five times that on a busy one, and the image's first unpacking
LONG = 1800
"""More tokens than the engine makes while a test looks on."""

HELLO: Any = [{"role": "user", "content": "hello"}]
WHOLE: Any = {"ignore_eos": True}
"""The model is random, so it may end an answer anywhere unless it is told not to."""


@pytest.fixture(scope="module")
def address(platform: None) -> Iterator[str]:  # noqa: ARG001  # the platform must be up first
    """One settled LLMDeployment on the real engine that asks for a key; its address."""
    platform_of.load_real_engine()
    locked = deployment(NAME, profile="vllm", auth={"apiKeys": "Required"}, accelerator={"profile": "none"})
    kit.apply(api_keys(NAME, client=KEY), locked, namespace=NS)
    kit.wait_settled(NAME, NS, timeout_s=READY_S)
    yield kit.address(NAME, NS)
    kit.kubectl("-n", NS, "delete", "llm", NAME, "--wait=true")
    kit.kubectl("-n", NS, "delete", "secret", f"{NAME}-sidecar", "--ignore-not-found")


@pytest.fixture
def client(address: str) -> Iterator[openai.OpenAI]:
    """The official client pointed at the sidecar."""
    with openai.OpenAI(base_url=f"http://{address}:8080/v1", api_key=KEY, timeout=120, max_retries=0) as made:
        yield made


def _running() -> float:
    """Return how many requests the engine says it works on."""
    (pod,) = kit.pods_of(NAME, NS)
    return kit.figure(pod["status"]["podIP"], "vllm:num_requests_running")


def test_chat(client: openai.OpenAI) -> None:
    answers = [client.chat.completions.create(model=NAME, messages=HELLO, max_tokens=12, temperature=0, extra_body=WHOLE) for _ in range(2)]
    assert answers[0].choices[0].message.role == "assistant"
    assert answers[0].choices[0].message.content
    assert answers[0].choices[0].message.content == answers[1].choices[0].message.content
    assert answers[0].choices[0].finish_reason == "length"
    assert answers[0].usage is not None
    assert answers[0].usage.completion_tokens == 12


def test_chat_stream_is_the_same_text_piece_by_piece(client: openai.OpenAI) -> None:
    ask: Any = {"model": NAME, "messages": HELLO, "max_tokens": 24, "temperature": 0, "extra_body": WHOLE}
    whole = client.chat.completions.create(**ask)
    chunks = [chunk.choices[0] for chunk in client.chat.completions.create(**ask, stream=True)]
    assert chunks[0].delta.role == "assistant"
    assert "".join(chunk.delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["length"]
    assert len(chunks) > 6, "the answer came in a few pieces only: somebody on the way collects them"


def test_stream_without_usage_shows_none(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model=NAME, messages=HELLO, max_tokens=12, stream=True))
    assert all(chunk.choices for chunk in chunks), "the usage chunk the sidecar asks the engine for leaked to a client that did not"
    assert all(chunk.usage is None for chunk in chunks)


def test_stream_with_usage_ends_with_it(client: openai.OpenAI) -> None:
    ask: Any = {"model": NAME, "messages": HELLO, "max_tokens": 12, "extra_body": WHOLE}
    whole = client.chat.completions.create(**ask)
    *chunks, last = client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True})
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert (last.choices, last.usage) == ([], whole.usage)


def test_completions(client: openai.OpenAI) -> None:
    ask: Any = {"model": NAME, "prompt": "def main(", "max_tokens": 16, "temperature": 0, "extra_body": WHOLE}
    whole = client.completions.create(**ask)
    assert (whole.object, whole.choices[0].finish_reason) == ("text_completion", "length")
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 16
    assert "".join(chunk.choices[0].text for chunk in client.completions.create(**ask, stream=True)) == whole.choices[0].text
    echoed = client.completions.create(**ask, echo=True).choices[0].text
    assert echoed == f"{SYSTEM}\n\ndef main({whole.choices[0].text}", "an echo is the prompt as the engine reads it"


def test_n_2_gives_two_answers_whole_and_streamed(client: openai.OpenAI) -> None:
    ask: Any = {"model": NAME, "messages": HELLO, "n": 2, "max_tokens": 16, "seed": 7, "temperature": 1, "extra_body": WHOLE}
    whole = client.chat.completions.create(**ask)
    texts = {choice.index: choice.message.content for choice in whole.choices}
    assert sorted(texts) == [0, 1]
    assert texts[0] != texts[1]
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 32
    streamed = {0: "", 1: ""}
    for chunk in client.chat.completions.create(**ask, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert all(streamed.values())
    assert streamed[0] != streamed[1]


def test_stop_ends_the_answer_in_front_of_it(client: openai.OpenAI) -> None:
    ask: Any = {"model": NAME, "messages": HELLO, "max_tokens": 48, "temperature": 0, "extra_body": WHOLE}
    text = client.chat.completions.create(**ask).choices[0].message.content or ""
    found = re.search("[A-Za-z_]{2}", text[len(text) // 2 :])
    assert found is not None, f"no two letters to stop at in {text!r}"
    stopped = client.chat.completions.create(**ask, stop=[found[0]]).choices[0]
    assert (stopped.finish_reason, stopped.message.content) == ("stop", text[: text.index(found[0])])
    chunks = [chunk.choices[0] for chunk in client.chat.completions.create(**ask, stop=[found[0]], stream=True)]
    assert "".join(chunk.delta.content or "" for chunk in chunks) == stopped.message.content
    assert chunks[-1].finish_reason == "stop"


def test_logprobs_come_with_every_token(client: openai.OpenAI) -> None:
    likely: Any = {"temperature": 0, "logprobs": True, "top_logprobs": 2}
    ask: Any = {"model": NAME, "messages": HELLO, "max_tokens": 8, "extra_body": WHOLE, **likely}
    told = client.chat.completions.create(**ask).choices[0].logprobs
    assert told is not None
    assert told.content is not None
    assert len(told.content) == 8
    for token in told.content:
        assert len(token.top_logprobs) == 2
        assert token.logprob <= 0
        assert token.logprob == max(each.logprob for each in token.top_logprobs), "a greedy answer has the likeliest token"
    streamed = [chunk.choices[0].logprobs for chunk in client.chat.completions.create(**ask, stream=True)]
    tokens = [token for each in streamed if each is not None for token in each.content or ()]
    assert [token.token for token in tokens] == [token.token for token in told.content]
    plain = client.completions.create(model=NAME, prompt="def", max_tokens=4, logprobs=1, extra_body=WHOLE).choices[0].logprobs
    assert plain is not None
    assert len(plain.token_logprobs or ()) == 4


class Verdict(pydantic.BaseModel):
    """What the random model has to say in the shape of."""

    model_config = pydantic.ConfigDict(extra="forbid")
    answer: Literal["yes", "no"]
    sure: bool


@pytest.mark.parametrize("stream", [False, True])
def test_response_format_json_schema_binds_even_random_weights(client: openai.OpenAI, stream: bool) -> None:
    ask: Any = {"model": NAME, "messages": HELLO, "max_tokens": 200, "temperature": 0, "response_format": Verdict}
    if stream:
        with client.chat.completions.stream(**ask) as events:
            events.until_done()
            choice = events.get_final_completion().choices[0]
    else:
        choice = client.chat.completions.parse(**ask).choices[0]
    assert choice.finish_reason == "stop", choice
    assert isinstance(choice.message.parsed, Verdict)


def test_a_wrong_model_is_not_found(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [NAME]
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="nope", messages=HELLO)
    assert refused.value.code == "model_not_found"


def test_what_is_too_long_is_a_bad_request(client: openai.OpenAI) -> None:
    for body in ({"messages": [{"role": "user", "content": "word " * 4000}]}, {"messages": HELLO, "max_tokens": 4000}):
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError) as refused:
                client.chat.completions.create(model=NAME, stream=stream, **body)
            assert refused.value.code == "context_length_exceeded"


def test_a_bad_key_is_not_let_in(client: openai.OpenAI) -> None:
    stranger = client.with_options(api_key="sk-nobody")
    with pytest.raises(openai.AuthenticationError) as refused:
        stranger.chat.completions.create(model=NAME, messages=HELLO, max_tokens=1)
    assert refused.value.code == "api_key_invalid"
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_a_timeout_of_the_client_frees_the_engine(client: openai.OpenAI) -> None:
    impatient = client.with_options(timeout=1.5)
    with pytest.raises(openai.APITimeoutError):
        impatient.chat.completions.create(model=NAME, messages=HELLO, max_tokens=LONG, extra_body=WHOLE)
    until(lambda: _running() == 0, timeout_s=30, what="the engine works on nothing")


def test_a_deadline_of_the_client_is_told_as_an_error(client: openai.OpenAI) -> None:
    until_then = {"x-request-deadline": f"{time.time() + 1.5:.3f}"}
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(model=NAME, messages=HELLO, max_tokens=LONG, extra_body=WHOLE, extra_headers=until_then)
    assert (refused.value.status_code, refused.value.body["code"]) == (504, "deadline_exceeded")  # type: ignore[index]  # an object
    until_then = {"x-request-deadline": f"{time.time() + 1.5:.3f}"}
    ask: Any = {"model": NAME, "messages": HELLO, "max_tokens": LONG, "stream": True, "extra_body": WHOLE}
    with pytest.raises(openai.APIError, match="deadline"):
        list(client.chat.completions.create(**ask, extra_headers=until_then))
    until(lambda: _running() == 0, timeout_s=30, what="the engine works on nothing")


def test_a_cancelled_stream_frees_the_engine(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model=NAME, messages=HELLO, max_tokens=LONG, stream=True, extra_body=WHOLE)
    for _ in zip(range(3), stream, strict=False):
        pass
    until(lambda: _running() == 1, timeout_s=30, what="the engine works on the stream")
    stream.close()
    until(lambda: _running() == 0, timeout_s=30, what="the engine works on nothing")


async def test_fifty_at_once_get_their_own_answers(address: str) -> None:
    questions = [f"question {number}:" for number in range(50)]
    async with openai.AsyncOpenAI(base_url=f"http://{address}:8080/v1", api_key=KEY, timeout=180, max_retries=0) as client:

        async def whole(number: int) -> str:
            answer = await client.completions.create(model=NAME, prompt=questions[number], max_tokens=16, echo=True, extra_body=WHOLE)
            assert answer.usage is not None
            assert answer.usage.completion_tokens == 16
            assert questions[number] in answer.choices[0].text
            return answer.id

        async def streamed(number: int) -> str:
            text, ids, finish = "", set[str](), None
            ask: Any = {"model": NAME, "prompt": questions[number], "max_tokens": 16, "echo": True, "extra_body": WHOLE}
            stream = await client.completions.create(**ask, stream=True)
            async for chunk in stream:
                text += chunk.choices[0].text
                finish = chunk.choices[0].finish_reason
                ids.add(chunk.id)
            assert questions[number] in text
            assert finish == "length"
            assert len(ids) == 1
            return ids.pop()

        answers = await asyncio.gather(*(streamed(number) if number % 2 else whole(number) for number in range(50)))
    assert len(set(answers)) == 50
