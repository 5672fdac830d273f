"""The pipeline of a spec is that of the bundle, field by field."""

from typing import Any

import msgspec
import pytest

from llm_operator.api.pipeline import Pipeline, RequestStage
from llm_operator.core.pipelines import bundle_pipeline
from llm_sidecar import bundle
from llm_sidecar.bundle import Bundle, encode

EVERY_FIELD: list[dict[str, Any]] = [
    {"stage": "schema", "schema": {"type": "object"}, "of": "Variables", "onFail": "Open", "onError": "Open", "timeout": "20ms"},
    {"stage": "normalise", "form": "NFC", "zeroWidth": "Keep"},
    {"stage": "pii", "entities": ["email", "ip"], "patterns": [{"name": "a", "re2": "b"}], "action": "Block"},
    {"stage": "blocklist", "terms": ["x"], "patterns": [{"name": "a", "re2": "b"}], "ignoreCase": False, "action": "Tag"},
    {"stage": "trim", "maxCharacters": 5, "onError": "Closed"},
]


def of(*request: dict[str, Any]) -> bundle.Pipeline | None:
    return bundle_pipeline(Pipeline.model_validate({"request": list(request)}))


def test_every_field_arrives_under_its_own_name() -> None:
    written = [{name: value for name, value in each.items() if name != "timeout"} for each in EVERY_FIELD]
    written[0]["timeoutMs"] = 20
    assert msgspec.json.decode(encode(Bundle(pipeline=of(*EVERY_FIELD))))["pipeline"] == {"request": written}


def test_every_field_of_a_stage_in_the_api_is_one_of_the_bundle() -> None:
    used = {name for each in EVERY_FIELD for name in each}
    assert used == {field.alias for field in RequestStage.model_fields.values()}


@pytest.mark.parametrize(
    "written",
    [
        {"stage": "normalise", "form": "NFKC", "zeroWidth": "Remove", "onFail": "Closed", "onError": "Closed", "timeout": "1000ms"},
        {"stage": "pii", "entities": ["email"], "action": "Redact"},
        {"stage": "blocklist", "terms": ["x"], "action": "Block", "ignoreCase": True},
        {"stage": "trim", "onError": "Open", "timeout": "1s"},
        {"stage": "schema", "schema": {}, "of": "Request"},
    ],
)
def test_a_default_that_is_written_out_is_the_same_bundle(written: dict[str, Any]) -> None:
    short: dict[str, Any] = {name: written[name] for name in ("stage", "entities", "terms", "schema") if name in written}
    assert encode(Bundle(pipeline=of(written))) == encode(Bundle(pipeline=of(short)))


def test_no_stages_are_no_pipeline() -> None:
    assert of() is None
    assert bundle_pipeline(Pipeline(response=(RequestStage(stage="trim"),))) == bundle.Pipeline(response=(bundle.TrimStage(),))
