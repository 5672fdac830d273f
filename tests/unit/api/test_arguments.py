import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api.arguments import Arg, Choice, Flag, Integer, JsonObject, Number, Word
from llm_operator.api.engine_args import ALLOWED
from tests.properties import tried

ANY_INTEGER = JsonObject('{"a": 1}', lambda _key, value: isinstance(value, int))


@pytest.mark.parametrize(
    ("argument", "good", "bad"),
    [
        (Flag(), ["true", "false"], ["True", "1", "", "yes", " true"]),
        (Integer(-1, 20), ["-1", "0", "20"], ["-2", "21", "", "01", "+1", "1.0", "1k", "1e1", " 1", "1\n", "\u0661", "-0", "9" * 30]),
        (Number(Decimal(0), Decimal("0.99")), ["0", "0.5", "0.99"], ["1", "-0.1", ".5", "00.5", "0.", "1e-3", "nan", "inf", "0.5\n"]),
        (Choice(("a", "b"), without=("c",)), ["a", "b"], ["c", "A", "", "a,b"]),
        (Word(r"[a-z0-9_]{1,8}", "qwen3"), ["qwen3", "a_b"], ["", "a/b", "a.b", "a:b", "../x", "A", "abcdefghi", "a\n"]),
        (ANY_INTEGER, ["{}", '{"a": 1}'], ["", "{", "[]", "1", '{"a": "b"}', '{"a": NaN}', "[" * 2000]),
    ],
)
def test_each_kind_takes_its_values_and_no_others(argument: Arg, good: list[str], bad: list[str]) -> None:
    assert [value for value in good if not argument.accepts(value)] == []
    assert [value for value in bad if argument.accepts(value)] == []


@pytest.mark.parametrize("name", ALLOWED)
@tried(20)
@given(value=st.text(max_size=30))
def test_no_text_makes_an_argument_fail(name: str, value: str) -> None:
    assert ALLOWED[name].accepts(value) in {True, False}


@pytest.mark.parametrize(
    "value",
    [
        '{"a": Infinity}',
        '{"a": 1e999}',
        '{"chat_template": "x"}',
        '{"tokenize": true}',
        '{"a b": 1}',
        '{"a": null}',
        '{"a": []}',
        '{"a": {}}',
    ],
)
def test_template_variables_are_plain_values_and_never_the_template_itself(value: str) -> None:
    assert not ALLOWED["default-chat-template-kwargs"].accepts(value)
    assert ALLOWED["default-chat-template-kwargs"].accepts('{"enable_thinking": false, "depth": 2, "tone": "dry"}')


@pytest.mark.parametrize("value", ['{"image": -1}', '{"image": 1000}', '{"image": true}', '{"image": {"count": 1}}', '{"text": 1}'])
def test_media_limits_are_counts_by_known_media(value: str) -> None:
    assert not ALLOWED["limit-mm-per-prompt"].accepts(value)
    assert ALLOWED["limit-mm-per-prompt"].accepts('{"image": 0, "video": 999}')


def test_every_example_in_a_message_is_valid_itself() -> None:
    for argument in ALLOWED.values():
        if isinstance(argument, Word | JsonObject):
            assert argument.accepts(argument.example)
            assert argument.example in argument.expects
        if isinstance(argument, JsonObject):
            assert isinstance(json.loads(argument.example), dict)
