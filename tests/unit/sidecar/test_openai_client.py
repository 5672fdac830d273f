"""The official client against sidecar and stub engine, by name."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llm_sidecar.bundle import Auth, Bundle, Message, Prompt
from tests.unit.sidecar.support.engine import Engine
from tests.unit.sidecar.support.keys import SecretDir, entry
from tests.unit.sidecar.support.pod import Pod, pod_running
from tests.unit.sidecar.support.process import stub_engine

if TYPE_CHECKING:
    from openai import AsyncOpenAI

PROMPT = Prompt(
    system="Be {{ tone }}.", messages=(Message(role="user", content="Hi"),), inputs={"properties": {"tone": {"default": "kind"}}}
)


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    async with stub_engine() as port, pod_running(tmp_path / "snapshot", Engine(port=port), Bundle(prompt=PROMPT)) as running:
        yield running


@pytest.fixture
async def client(openai: Any, pod: Pod) -> AsyncIterator["AsyncOpenAI"]:
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{pod.port}/v1", api_key="none", max_retries=0, timeout=20) as made:
        yield made


async def test_the_official_client_is_served(client: "AsyncOpenAI", pod: Pod) -> None:
    models = await client.models.list()
    assert [model.id for model in models.data] == ["chat"]

    chat = await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hello"}], max_tokens=4)
    assert chat.choices[0].message.content
    assert chat.usage is not None
    assert chat.usage.completion_tokens == 4

    text = await client.completions.create(model="chat", prompt="hello", max_tokens=4, n=2)
    assert [choice.index for choice in text.choices] == [0, 1]

    raw = await client.chat.completions.with_raw_response.create(
        model="chat", messages=[{"role": "user", "content": "hello"}], max_tokens=1
    )
    assert raw.headers["x-llm-revision"] == "r1"
    assert raw.request_id == raw.headers["x-request-id"]

    pod.snapshot.write(2, "r2", Bundle())
    await pod.until(lambda status: status["revision"] == "r2")
    bare = await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hello"}], max_tokens=4)
    assert bare.usage is not None
    assert bare.usage.prompt_tokens < chat.usage.prompt_tokens


async def test_its_streams_have_usage_only_where_asked_for(client: "AsyncOpenAI") -> None:
    plain = [
        chunk
        async for chunk in await client.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "hello"}], max_tokens=5, stream=True
        )
    ]
    assert all(chunk.choices and chunk.usage is None for chunk in plain)
    assert plain[-1].choices[0].finish_reason == "length"

    asked = [
        chunk
        async for chunk in await client.chat.completions.create(
            model="chat",
            messages=[{"role": "user", "content": "hello"}],
            max_tokens=5,
            stream=True,
            stream_options={"include_usage": True},
        )
    ]
    assert asked[-1].usage is not None
    assert asked[-1].usage.completion_tokens == 5


async def test_variables_travel_in_its_extra_body(client: "AsyncOpenAI") -> None:
    ask = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
    default = await client.post("/chat/completions", body=ask, cast_to=object)
    given = await client.post("/chat/completions", body={**ask, "prompt": {"variables": {"tone": "very strict indeed"}}}, cast_to=object)
    assert isinstance(default, dict)
    assert isinstance(given, dict)
    assert given["usage"]["prompt_tokens"] > default["usage"]["prompt_tokens"]


async def test_its_key_is_asked_for_and_its_own_errors_tell_of_a_bad_one_and_of_a_limit(openai: Any, pod: Pod, tmp_path: Path) -> None:
    secret = SecretDir(tmp_path / "secrets")
    secret.keys(entry("team-a", "sk-good", requestsPerMinute=1))
    locked = Bundle(auth=Auth(api_keys="Required"))
    async with pod_running(tmp_path / "locked", pod.engine, locked, LLM_SECRETS_DIR=str(secret.path)) as running:
        client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{running.port}/v1", api_key="sk-good", max_retries=0, timeout=20)
        async with client, client.with_options(api_key="sk-bad") as stranger:
            assert [model.id for model in (await client.models.list()).data] == ["chat"]
            assert (await client.completions.create(model="chat", prompt="hello", max_tokens=1)).choices
            with pytest.raises(openai.RateLimitError) as limited:
                await client.completions.create(model="chat", prompt="hello", max_tokens=1)
            assert (limited.value.code, limited.value.param) == ("key_limit_exceeded", "requestsPerMinute")
            with pytest.raises(openai.AuthenticationError) as refused:
                await stranger.models.list()
            assert refused.value.code == "api_key_invalid"


async def test_it_raises_the_errors_it_knows(openai: Any, client: "AsyncOpenAI") -> None:
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model="nope", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(openai.BadRequestError) as refused:
        await client.completions.create(model="chat", prompt="x", extra_body={"prompt_embeds": "x"})
    assert (refused.value.code, refused.value.param) == ("field_not_allowed", "prompt_embeds")
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model="chat", input="x", encoding_format="float")
