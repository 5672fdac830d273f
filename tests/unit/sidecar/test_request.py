"""The look at a request, and what must not be in one."""

import json
from functools import partial
from typing import Any

import pytest

from llm_sidecar.bundle import Limits
from llm_sidecar.errors import Refusal
from llm_sidecar.request import DANGEROUS, View, look, view, whole
from llm_sidecar.stream.relay import Wish


@pytest.mark.parametrize("name", DANGEROUS)
@pytest.mark.parametrize("value", [None, "", {}, [1]])
def test_dangerous_fields_are_refused_whatever_they_hold(name: str, value: Any) -> None:
    with pytest.raises(Refusal) as caught:
        view(json.dumps({"prompt": "x", name: value}).encode(), Limits())
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "field_not_allowed", name)


def test_a_dangerous_name_written_with_escapes_is_the_same_name() -> None:
    with pytest.raises(Refusal):
        view(b'{"\\u0070rompt_embeds": 1}', Limits())
    with pytest.raises(Refusal):
        view(b'{"chat_template": 1, "prompt": "x"}', Limits())


def test_every_dangerous_field_is_a_field_of_the_view() -> None:
    assert set(DANGEROUS) < set(View.__struct_fields__)


def test_a_dangerous_name_inside_a_text_or_a_value_is_harmless() -> None:
    assert view(b'{"prompt": "prompt_embeds", "metadata": {"chat_template": 1}}', Limits()).model is None


@pytest.mark.parametrize(
    ("options", "wish"),
    [
        (None, Wish.NOTHING),
        ({}, Wish.NOTHING),
        ({"include_usage": None}, Wish.NOTHING),
        ({"include_usage": False, "continuous_usage_stats": True}, Wish.NOTHING),
        ({"include_usage": True}, Wish.AT_END),
        ({"include_usage": True, "continuous_usage_stats": True}, Wish.ALWAYS),
    ],
)
def test_usage_is_for_those_who_asked(options: Any, wish: Wish) -> None:
    assert view(json.dumps({"stream": True, "stream_options": options}).encode(), Limits()).usage_wish is wish


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"nonsense", "invalid_json", None),
        (b'{"a": 1} {"b": 2}', "invalid_json", None),
        (b'{"a": NaN}', "invalid_json", None),
        (b'"text"', "invalid_type", None),
        (b'{"stream": "yes"}', "invalid_type", "stream"),
        (b'{"stream": 1}', "invalid_type", "stream"),
        (b'{"model": 5}', "invalid_type", "model"),
        (b'{"stream_options": {"include_usage": "x"}}', "invalid_type", "stream_options.include_usage"),
    ],
)
def test_a_body_that_is_not_what_it_should_be_gets_400(body: bytes, code: str, param: str | None) -> None:
    with pytest.raises(Refusal) as caught:
        view(body, Limits())
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


@pytest.mark.parametrize("body", [b"", b"[]", b"5"])
def test_a_body_that_has_to_change_must_be_an_object(body: bytes) -> None:
    with pytest.raises(Refusal):
        whole(body)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"n": 3}', "n"),
        (b'{"stop": ["a", "b"]}', "stop"),
        (b'{"max_tokens": 9}', "max_tokens"),
        (b'{"max_completion_tokens": 9}', "max_completion_tokens"),
        (b'{"n": ' + b"9" * 400 + b"}", "n"),
        (b'{"prompt": ["a", "b", "c"]}', "prompt"),
        (b'{"prompt": [ "a", "b"], "n": 2}', "prompt"),
        (b'{"prompt": [[1], [2], [3]]}', "prompt"),
        (b'{"prompt": ["a"], "n": 3}', "n"),
    ],
)
def test_more_than_the_limits_is_refused_with_the_field(body: bytes, param: str) -> None:
    limits = Limits(max_choices=2, max_stops=1, max_tokens=8)
    for way in (partial(view, body, limits), partial(look, json.loads(body), limits)):
        with pytest.raises(Refusal) as caught:
            way()
        assert (caught.value.code, caught.value.param) == ("limit_exceeded", param)
    assert view(b'{"n": 2, "stop": "ab", "max_tokens": 8}', limits).n == 2


@pytest.mark.parametrize(
    "body",
    [
        b'{"prompt": [1, 2, 3, 4]}',
        b'{"prompt": [\n 1, 2, 3], "n": 2}',
        b'{"prompt": "a, b, c", "n": 2}',
        b'{"prompt": ["[1, 2, 3]", "a"]}',
        b'{"prompt": [[1, 2, 3], [4, 5]]}',
        b'{"prompt": [["a", "b", "c"]], "n": 2}',
        b'{"prompt": {"text": "a", "variables": {}}, "n": 2}',
        b'{"prompt": [], "n": 2}',
        b'{"prompt": null}',
        b'{"n": 2}',
    ],
)
def test_what_is_one_prompt_or_two_counts_as_that_many(body: bytes) -> None:
    limits = Limits(max_choices=2)
    assert view(body, limits)
    assert look(json.loads(body), limits)


def test_a_choice_of_each_of_many_prompts_counts_and_the_refusal_says_how_many_they_are() -> None:
    with pytest.raises(Refusal, match="1280000 choices; at most 64 may be asked for"):
        view(json.dumps({"prompt": ["hi"] * 20_000, "n": 64}).encode(), Limits())
