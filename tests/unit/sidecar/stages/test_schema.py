"""JSON that has to fit a schema: a client's body, its variables, and the engine's answer."""

from typing import Any

import pytest

from llm_sidecar.bundle import BundleError, SchemaStage
from llm_sidecar.stages import ALLOW, Block, BlockedError
from llm_sidecar.stages.schema import compile_answer, compile_request

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}


def test_a_body_that_fits_is_allowed_and_one_that_does_not_names_the_field() -> None:
    stage = compile_request(SchemaStage(schema={"properties": {"max_tokens": {"maximum": 10}}, "required": ["user"]}), "here")
    assert stage.check({"user": "a", "max_tokens": 10}) is ALLOW
    assert stage.check({"user": "a", "max_tokens": 11}) == Block(
        "11 is greater than the maximum of 10", "request_invalid", 400, "max_tokens"
    )
    assert stage.check({}) == Block('"user" is a required property', "request_invalid", 400, "")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": {"variables": {"city": 1}}}, "prompt.variables.city"),
        ({"prompt": {"text": "x", "variables": {}}}, "prompt.variables"),
        ({"prompt": "x"}, "prompt.variables"),
        ({}, "prompt.variables"),
    ],
)
def test_variables_that_do_not_fit_are_named(body: dict[str, Any], field: str) -> None:
    stage = compile_request(SchemaStage(schema=CITY, of="Variables"), "here")
    blocked = stage.check(body)
    assert isinstance(blocked, Block)
    assert blocked.field == field
    assert stage.check({"prompt": {"variables": {"city": "Bern"}}}) is ALLOW


@pytest.mark.parametrize(
    ("answer", "words"),
    [("{", "not JSON"), ('{"city": 1}', "properties.city.type"), ("{}", "required"), ("[" * 5000, "not JSON")],
)
def test_an_answer_that_does_not_fit_says_where(answer: str, words: str) -> None:
    blocked = compile_answer(SchemaStage(schema=CITY), "here").judge(answer)
    assert isinstance(blocked, Block)
    assert (blocked.code, blocked.status) == ("answer_invalid", 502)
    assert words in blocked.reason


@pytest.mark.parametrize("answer", ['{"city": ["secret"]}', '{"city": "x", "secret": 1}', '{"city": "secret'])
def test_what_is_said_of_an_answer_quotes_nothing_of_it(answer: str) -> None:
    blocked = compile_answer(SchemaStage(schema=CITY), "here").judge(answer)
    assert isinstance(blocked, Block)
    assert "secret" not in blocked.reason


def test_an_answer_that_fits_and_one_without_text_are_allowed() -> None:
    stage = compile_answer(SchemaStage(schema=CITY), "here")
    assert stage.judge('{"city": "Bern"}') is ALLOW
    assert stage.judge("") is ALLOW


def test_a_stream_passes_and_is_judged_at_its_end() -> None:
    stream = compile_answer(SchemaStage(schema=CITY), "here").stream()
    assert stream.feed('{"city"') + stream.feed(": 1}") == '{"city": 1}'
    with pytest.raises(BlockedError):
        stream.finish()


def test_the_engine_is_told_the_schema() -> None:
    told = compile_answer(SchemaStage(schema=CITY), "here").response_format
    assert told == {"type": "json_schema", "json_schema": {"name": "answer", "schema": CITY, "strict": True}}


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"properties": {"a": {"type": "strng"}}}, "here.schema.properties.a.type"),
        ({"$ref": "https://example.com/a.json"}, "here.schema.$ref"),
        ({"pattern": "(?=a)"}, "here.schema.pattern"),
    ],
)
def test_a_schema_that_cannot_be_used_names_the_place(schema: dict[str, Any], field: str) -> None:
    for compile_stage in (compile_request, compile_answer):
        with pytest.raises(BundleError) as caught:
            compile_stage(SchemaStage(schema=schema), "here")
        assert caught.value.field == field
