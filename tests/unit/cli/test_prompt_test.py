"""`prompt test`: what renders as expected passes, what does not says how it differs, and answers are asked of a real endpoint."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from llm_sidecar.bundle import Bundle
from tests.unit.cli.conftest import Result
from tests.unit.sidecar.support.engine import Engine, answers, engine_running, http
from tests.unit.sidecar.support.pod import Pod, pod_running
from tests.unit.sidecar.support.process import free_port

Run = Callable[..., Result]

PROMPT = """
apiVersion: llmops.dev/v1alpha1
kind: LLMPrompt
metadata: {name: tone}
spec:
  system: |-
    Be {{ tone }}.
    Answer in JSON.
  inputs: {properties: {tone: {type: string, maxLength: 9, default: kind}}}
  tests:
  - name: kind
    expect: {equals: "Be kind.\\nAnswer in XML."}
  - name: answers in JSON
    variables: {tone: brief}
    prompt: How many?
    answer: {schema: {type: object, required: [count]}, excludes: [sorry]}
"""


def said(content: Any) -> bytes:
    return http(json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": content}}]}).encode())


@pytest.fixture
def tone(tmp_path: Path) -> str:
    (tmp_path / "tone.yaml").write_text(PROMPT)
    return str(tmp_path / "tone.yaml")


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with engine_running(Engine(script=answers(said('{"count": 3}')))) as running:
        yield running


@pytest.fixture
async def pod(engine: Engine, tmp_path: Path) -> AsyncIterator[Pod]:
    async with pod_running(tmp_path / "snapshot", engine, Bundle()) as running:
        yield running


def test_a_prompt_that_renders_otherwise_fails_with_the_difference(run: Run, tone: str) -> None:
    done = run("prompt", "test", "-f", tone)
    assert done.code == 2
    for words in ("failed  kind", "spec.tests[0].expect.equals", "-Answer in XML.", "+Answer in JSON.", "1 passed, 1 failed", "--url"):
        assert words in done.out, words
    told = run("prompt", "test", "-f", tone, "-o", "json").json
    assert (told["passed"], told["failed"], told["answersNotAsked"], told["exitCode"]) == (1, 1, 1, 2)
    assert told["prompts"][0]["tests"][0]["failures"][0]["field"] == "spec.tests[0].expect.equals"


async def test_answers_are_asked_of_a_sidecar_with_the_prompt_of_the_file(
    run: Run, pod: Pod, engine: Engine, tone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "sk-1")
    url = f"http://127.0.0.1:{pod.port}/v1/"
    told = (await asyncio.to_thread(run, "prompt", "test", "-f", tone, "--url", url, "--api-key-env", "KEY", "-o", "json")).json
    assert [each["passed"] for each in told["prompts"][0]["tests"]] == [False, True]
    assert told["prompts"][0]["tests"][1]["answer"] == '{"count": 3}'
    sent = engine.requests[-1].json
    assert sent["model"] == "chat", "the only one the endpoint has"
    assert [each["content"] for each in sent["messages"]] == ["Be brief.\nAnswer in JSON.", "How many?"]

    engine.script = answers(said("sorry"))
    done = await asyncio.to_thread(run, "prompt", "test", "-f", tone, "--url", url, "--model", "chat")
    assert done.code == 2
    for words in ("tests[1].answer.schema: the answer is not JSON", "tests[1].answer.excludes[0]: 'sorry'", "the answer was:", "0 passed"):
        assert words in done.out, words


async def test_an_endpoint_that_has_the_prompt_gets_what_a_client_sends(run: Run, engine: Engine, tone: str) -> None:
    url = f"http://127.0.0.1:{engine.port}"
    await asyncio.to_thread(run, "prompt", "test", "-f", tone, "--url", url, "--model", "m", "--served")
    expected = {"model": "m", "messages": [{"role": "user", "content": "How many?"}], "prompt": {"variables": {"tone": "brief"}}}
    assert engine.requests[-1].json == expected


@pytest.mark.parametrize(
    ("raw", "code", "words"),
    [
        (said(None), 2, "the endpoint's answer has no text"),
        (http(b"oh", "500 Oh"), 2, "the endpoint answers 500: oh"),
        (http(b'{"error": {"message": "who are you"}}', "401 No"), 1, "answers 401: who are you"),
        (http(b"", "302 Found", extra="location: http://127.0.0.1:1/\r\n"), 2, "the endpoint answers 302"),
        (b"nonsense\r\n\r\n", 1, "cannot be asked"),
    ],
)
async def test_an_endpoint_of_no_use_is_said_to_be_one(run: Run, engine: Engine, tone: str, raw: bytes, code: int, words: str) -> None:
    engine.script = answers(raw)
    url = f"http://127.0.0.1:{engine.port}"
    done = await asyncio.to_thread(run, "prompt", "test", "-f", tone, "--url", url, "--model", "m")
    assert done.code == code
    assert words in done.out + done.err


async def test_an_endpoint_that_says_nothing_is_given_up(run: Run, engine: Engine, tone: str) -> None:
    async def hang(*_: object) -> None:
        await asyncio.sleep(30)

    engine.script = hang
    url = f"http://127.0.0.1:{engine.port}"
    done = await asyncio.to_thread(run, "prompt", "test", "-f", tone, "--url", url, "--model", "m", "--timeout", "1s")
    assert (done.code, "within 1 s; see --timeout" in done.err) == (3, True)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--url", "ftp://x"), "--url: 'ftp://x' is not an address"),
        (("--url", "http://u:p@x"), "is not an address"),
        (("--url", "http://x:port"), "is not an address"),
        (("--url", f"http://127.0.0.1:{free_port()}"), "cannot be asked: Connection refused"),
        (("--url", "http://127.0.0.1:1", "--api-key-env", "NOT_SET"), "NOT_SET is not set"),
        (("--url", "http://127.0.0.1:1", "--timeout", "soon"), "'soon' is not a duration"),
    ],
)
def test_flags_that_cannot_be_meant_are_wrong_use(run: Run, tone: str, flags: tuple[str, ...], words: str) -> None:
    done = run("prompt", "test", "-f", tone, *flags)
    assert done.code == 1
    assert words in done.err


def test_a_test_that_leaves_out_a_variable_says_which(run: Run, tone: str) -> None:
    Path(tone).write_text(PROMPT.replace(", default: kind}}", "}}, required: [tone]", 1))
    told = run("prompt", "test", "-f", tone, "-o", "json").json
    (failure,) = told["prompts"][0]["tests"][0]["failures"]
    assert failure["field"] == "spec.tests[0].variables"
    assert "tone" in failure["message"]
    assert told["exitCode"] == 2


def test_an_inline_prompt_is_tested_too(run: Run, tmp_path: Path) -> None:
    spec = {"model": {"source": "s3://models/a"}, "accelerator": {"profile": "a"}}
    inline = {"system": "Hi 😀.", "tests": [{"name": "hi", "expect": {"contains": ["😀", "Ho"]}}]}
    body = {"apiVersion": "llmops.dev/v1alpha1", "kind": "LLMDeployment", "metadata": {"name": "chat"}}
    (tmp_path / "x.json").write_text(json.dumps({**body, "spec": {**spec, "prompt": {"inline": inline}}}))
    done = run("prompt", "test", "-f", str(tmp_path / "x.json"))
    assert done.code == 2
    assert "spec.prompt.inline.tests[0].expect.contains[1]: 'Ho' is not in the rendered prompt, 'Hi 😀.'" in done.out


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("system: |-", "sistem: |-", 'tone.yaml: LLMPrompt tone: unknown field "spec.sistem"'),
        ("maxLength: 9", "maxLength: -9", "LLMPrompt tone spec.inputs.properties.tone.maxLength: -9"),
        ("{{ tone }}", "{{ tome }}", "LLMPrompt tone spec.system: variable 'tome' is not declared"),
        ("excludes: [sorry]", "matches: '('", "LLMPrompt tone spec.tests[1].answer.matches: missing )"),
        ("expect: {equals", "expect: {equal", 'unknown field "spec.tests[0].expect.equal"'),
        ("v1alpha1", "v9", 'apiVersion: "llmops.dev/v9" is not llmops.dev/v1alpha1'),
        ("kind: LLMPrompt", "kind: LLMPromt", 'kind: "LLMPromt" is none of'),
        ("kind: LLMPrompt", "kind: {}", 'kind: "{}" is none of'),
        ("{name: tone}", "{}", "metadata.name: Required value"),
    ],
)
def test_a_manifest_that_would_be_refused_is_refused(run: Run, tone: str, old: str, new: str, words: str) -> None:
    Path(tone).write_text(PROMPT.replace(old, new, 1))
    done = run("prompt", "test", "-f", tone)
    assert done.code == 7, done.err
    assert words in done.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "tone.yaml: cannot be read as YAML: line 1"),
        ("\x00", "tone.yaml: cannot be read as YAML: "),
        ("a: 1\na: 2", 'line 2, column 1: the key "a" stands here twice'),
        ("1: a", "the key 1 is no text"),
        (r'a: "\ud83d"', "unexpected end of data"),
        (f"a: {2**63}", "9223372036854775808 is not an integer of 64 bits"),
        ("- a", "document 1 is no manifest but list"),
        ("kind: Secret\napiVersion: v1", "there is neither an LLMPrompt nor"),
        (PROMPT + "---" + PROMPT, "LLMPrompt tone is there twice"),
    ],
)
def test_a_file_that_holds_no_prompt_is_wrong_use(run: Run, tone: str, text: str, words: str) -> None:
    Path(tone).write_text(text)
    done = run("prompt", "test", "-f", tone)
    assert done.code == 1
    assert words in done.err


def test_a_file_that_is_not_there_is_named(run: Run) -> None:
    done = run("prompt", "test", "-f", "nowhere.yaml")
    assert (done.code, done.err) == (1, "error: -f nowhere.yaml: No such file or directory\n")
