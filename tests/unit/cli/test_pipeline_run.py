"""`pipeline run`: what stages and prompt make of a request, and of an answer that is given or asked for."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import yaml

from tests.unit.cli.conftest import Result
from tests.unit.sidecar.support.engine import Engine, completion, engine_running, streams, text_events
from tests.unit.sidecar.support.process import stub_engine

Run = Callable[..., Result]

REPO = Path(__file__).resolve().parents[3]
DEFAULT, REQUEST = "examples/pipelines/default.yaml", "examples/requests/support.json"
MAIL = {"model": "m", "prompt": "mail a@example.com", "stream": True}


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPO)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with engine_running(Engine()) as running:
        yield running


@pytest.fixture
def mail(tmp_path: Path) -> str:
    (tmp_path / "mail.json").write_text(json.dumps(MAIL))
    return str(tmp_path / "mail.json")


def test_as_json_it_says_the_same(run: Run) -> None:
    told = run("pipeline", "run", "-f", DEFAULT, "--request", REQUEST, "-o", "json").json
    assert [each["stage"] for each in told["request"]["stages"]] == ["schema", "normalise", "pii"]
    assert told["request"]["stages"][2]["found"] == ["card", "email"]
    assert "<card>" in told["engine"]["body"]["messages"][1]["content"]


def test_a_request_that_is_refused_is_told_in_the_sidecars_words(run: Run, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"model": "x", "messages": [{"role": "user", "content": "project aurora"}]}')
    done = run("pipeline", "run", "-f", "examples/pipelines/blocklist.yaml", "--request", str(tmp_path / "r.json"), "-o", "json")
    assert done.code == 7
    refusal = done.json["refusal"]
    assert (refusal["status"], refusal["error"]["code"], refusal["error"]["stage"]) == (400, "content_filter", "blocklist")
    assert "engine" not in done.json


async def test_an_endpoint_is_asked_and_its_stream_goes_through_the_answers_stages(run: Run, engine: Engine, mail: str) -> None:
    engine.script = streams(*text_events("to b@exam", "ple.com"))
    url = f"http://127.0.0.1:{engine.port}"
    done = await asyncio.to_thread(run, "pipeline", "run", "-f", DEFAULT, "--request", mail, "--url", url, "-o", "json")
    assert done.code == 0, done.err
    assert done.json["answer"]["stream"]
    assert "<email>" in done.json["answer"]["body"]
    assert [(each["stage"], each["found"]) for each in done.json["answer"]["stages"]] == [("pii", ["email"])]
    assert engine.requests[0].json == done.json["engine"]["body"]


async def test_the_stub_of_vllm_answers_whole(run: Run) -> None:
    async with stub_engine() as port:
        url, flags = f"http://127.0.0.1:{port}", ("pipeline", "run", "-f", DEFAULT, "--request", REQUEST)
        for _ in range(200):
            done = await asyncio.to_thread(run, *flags, "--url", url, "--model", "chat", "-o", "json")
            if done.code != 1:
                break
            await asyncio.sleep(0.1)
        assert done.code == 0, done.out
        assert done.json["answer"]["body"]["choices"][0]["message"]["content"]
        failed = await asyncio.to_thread(run, *flags, "--url", url, "--model", "other")
    assert failed.code == 2
    assert "model_not_found" in failed.out


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (completion("to b@example.com"), 0, "to <email>"),
        (b"".join(text_events("to b@exam", "ple.com")), 0, "<email>"),
        (b"{}", 2, "engine_broken"),
        (b"data: [1]\n\n", 2, "engine_broken"),
    ],
)
def test_an_answer_may_be_given(run: Run, tmp_path: Path, mail: str, answer: bytes, code: int, words: str) -> None:
    (tmp_path / "a").write_bytes(answer)
    done = run("pipeline", "run", "-f", DEFAULT, "--request", mail, "--answer", str(tmp_path / "a"))
    assert done.code == code
    told = done.out.partition("\n\nthe client receives")[2] or done.out.partition("\n\nrefused")[2]
    assert words in told
    assert "b@exam" not in told


def test_the_prompt_may_be_in_another_file(run: Run, tmp_path: Path) -> None:
    documents = list(yaml.safe_load_all((REPO / "examples/prompt-ref.yaml").read_text()))
    for each in documents:
        (tmp_path / each["kind"]).write_text(yaml.safe_dump(each))
    request = tmp_path / "r.json"
    request.write_text('{"prompt": "Hi", "max_tokens": 3}')
    flags = ("pipeline", "run", "-f", str(tmp_path / "LLMDeployment"), "--request", str(request), "--path", "/generate")
    assert "LLMPrompt support is in none of the files; add its file with -f" in run(*flags).err
    done = run(*flags, "-f", str(tmp_path / "LLMPrompt"))
    assert done.code == 0
    assert "You are the support assistant of Example Ltd" in done.out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--url", "http://x", "--answer", REQUEST), "exclude each other"),
        (("--path", "/v1/embeddings"), "'/v1/embeddings' is none of /v1/chat/completions"),
        (("--name", "other"), "there are: default"),
        (("-f", DEFAULT), "is there twice"),
        (("--answer", "nowhere"), "--answer nowhere: No such file"),
        (("--request", "nowhere"), "--request nowhere: No such file"),
        (("--url", "localhost:8000"), "--url: 'localhost:8000' is not an address like http://host:port"),
    ],
)
def test_what_cannot_be_meant_is_wrong_use(run: Run, flags: tuple[str, ...], words: str) -> None:
    done = run("pipeline", "run", "-f", DEFAULT, "--request", REQUEST, *flags)
    assert done.code == 1
    assert words in done.err


@pytest.mark.parametrize(
    ("request_", "code", "field", "words"),
    [
        ("hello", "invalid_json", None, "the body is not valid JSON"),
        ('{"model": "x", "prompt": {"text": "Hi", "variables": {"tone": "kind"}}}', "invalid_variables", "prompt.variables", "company"),
    ],
)
def test_a_request_no_engine_could_be_asked_says_what_is_wrong_with_it(
    run: Run, tmp_path: Path, request_: str, code: str, field: str | None, words: str
) -> None:
    document = list(yaml.safe_load_all((REPO / DEFAULT).read_text()))[1]
    document["spec"]["prompt"]["inline"]["inputs"] = {"properties": {"company": {}}, "required": ["company"]}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(document))
    (tmp_path / "r.json").write_text(request_)
    done = run("pipeline", "run", "-f", str(tmp_path / "x.yaml"), "--request", str(tmp_path / "r.json"), "-o", "json")
    assert done.code == 7
    error = done.json["refusal"]["error"]
    assert (error["code"], error["param"]) == (code, field)
    assert words in error["message"]


def test_standard_input_is_read_once(run: Run) -> None:
    done = run("pipeline", "run", "-f", "-", "--request", "-")
    assert (done.code, "standard input can be read once" in done.err) == (1, True)
