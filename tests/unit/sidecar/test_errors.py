"""Every refusal has a code that is documented and a stage that says where the request ended."""

import json
import re
from pathlib import Path

import pytest

import llm_sidecar
from llm_sidecar.engine import answers
from llm_sidecar.errors import STAGES, Refusal, error_event

SOURCE = Path(llm_sidecar.__file__).parent
PAGE = (Path(__file__).parents[3] / "docs/reference/errors.md").read_text()
OF_STAGES = {"answer_invalid", "content_filter", "request_invalid", "stage_failed", "stage_timeout"}
CODES = {code for codes in STAGES.values() for code in codes}


def test_every_code_in_the_source_has_a_stage() -> None:
    text = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))
    used = set(re.findall(r'(?:Refusal|Refuse|error_body|_refuse|_refusal)\(\s*(?:[\w.]+,\s*)?"([a-z]+_[a-z_]+)"', text))
    assert len(used) > 30
    assert used <= CODES | OF_STAGES


@pytest.mark.parametrize("code", sorted(CODES | OF_STAGES))
def test_every_code_is_in_the_reference(code: str) -> None:
    assert f"`{code}`" in PAGE


def test_a_refusal_says_where_it_comes_from_and_a_stage_of_the_pipeline_says_its_name() -> None:
    assert json.loads(Refusal(413, "body_too_large", "x").body())["error"]["stage"] == "limits"
    assert json.loads(Refusal(400, "field_not_allowed", "x", stage="pii").body())["error"]["stage"] == "pii"
    assert error_event(Refusal(504, "total_timeout", "x")).endswith(b'"code":"total_timeout","stage":"limits"}}\n\ndata: [DONE]\n\n')


@pytest.mark.parametrize(
    ("status", "error", "code", "param"),
    [
        (
            400,
            {"message": "This model's maximum context length is 512 tokens.", "param": "input_tokens", "code": 400},
            "context_length_exceeded",
            "messages",
        ),
        (
            400,
            {"message": "max_tokens=4000 cannot be greater than max_model_len=512.", "param": "max_tokens", "code": 400},
            "context_length_exceeded",
            "max_tokens",
        ),
        (404, {"message": "The model `nope` does not exist.", "param": "model", "code": 404}, "model_not_found", "model"),
        (400, {"message": "Input should be a valid number", "param": "body.temperature", "code": 400}, "engine_refused", "temperature"),
        (500, {"message": "EngineDeadError", "code": 500}, "engine_error", None),
    ],
)
def test_the_engines_words_are_kept_and_its_codes_become_ours(status: int, error: dict[str, object], code: str, param: str | None) -> None:
    told, body = answers.normalise(status, json.dumps({"error": error}).encode(), "messages")
    found = json.loads(body)["error"]
    assert (told, found["message"], found["code"], found["param"], found["stage"]) == (status, error["message"], code, param, "engine")


def test_a_context_that_is_too_small_is_told_to_be_shared_with_the_prompt() -> None:
    _, body = answers.normalise(400, b'{"error": {"message": "too long.", "param": "input_tokens"}}', "prompt", prompted=True)
    assert "prompt of this revision" in json.loads(body)["error"]["message"]
