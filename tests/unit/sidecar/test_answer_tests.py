"""What is expected of an answer: each thing it is not is named, and what nothing could be held against is refused."""

import pytest

from llm_sidecar.answer_tests import AnswerTest, ExpectedAnswer
from llm_sidecar.bundle import BundleError

ORDER = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        (ExpectedAnswer(contains=("a", "b"), excludes=("c",)), "b and a"),
        (ExpectedAnswer(matches="(?i)^hello"), "Hello, you"),
        (ExpectedAnswer(matches="é$"), "café"),
        (ExpectedAnswer(schema=ORDER), '{"count": 1}'),
    ],
)
def test_an_answer_that_is_as_expected_has_no_failures(expected: ExpectedAnswer, answer: str) -> None:
    assert list(AnswerTest(expected, "here").failures(answer)) == []


def test_each_thing_an_answer_is_not_is_named() -> None:
    expected = ExpectedAnswer(contains=("a", "z"), excludes=("b", "q"), matches="^x", schema=ORDER)
    told = dict(AnswerTest(expected, "here").failures('{"a": "b", "count": "many"}'))
    assert set(told) == {"contains[1]", "excludes[0]", "matches", "schema"}
    assert told["schema"] == 'count: "many" is not of type "integer"'


def test_an_answer_that_is_no_json_fits_no_schema() -> None:
    assert [place for place, _ in AnswerTest(ExpectedAnswer(schema=ORDER), "here").failures("one")] == ["schema"]


@pytest.mark.parametrize(
    ("expected", "field"),
    [(ExpectedAnswer(matches="(a"), "here.matches"), (ExpectedAnswer(schema={"type": "strng"}), "here.schema.type")],
)
def test_what_nothing_could_be_held_against_is_refused(expected: ExpectedAnswer, field: str) -> None:
    with pytest.raises(BundleError) as caught:
        AnswerTest(expected, field.partition(".")[0])
    assert caught.value.field == field
