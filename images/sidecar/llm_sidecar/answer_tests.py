"""Tests of answers: what an engine's answer to a prompt has to be. Compiled where prompts are checked, run by whoever asks an engine."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec

from llm_sidecar.bundle import BundleError
from llm_sidecar.redact.finder import compile_re2
from llm_sidecar.redact.pattern import PatternError
from llm_sidecar.schemas import compile_schema, join


class ExpectedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer has to be."""

    contains: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    matches: str | None = None
    schema: dict[str, Any] | None = None


class AnswerTest:
    """An expectation, compiled; ``field`` is where it was written. Raises BundleError for one no answer could be held against."""

    __slots__ = ("_expected", "_pattern", "_validator")

    def __init__(self, expected: ExpectedAnswer, field: str) -> None:
        self._expected = expected
        try:
            self._pattern = compile_re2(expected.matches) if expected.matches is not None else None
        except PatternError as error:
            raise BundleError(f"{field}.matches", str(error)) from error
        self._validator = compile_schema(expected.schema, f"{field}.schema") if expected.schema is not None else None

    def failures(self, answer: str) -> Iterator[tuple[str, str]]:
        """Yield each thing an answer is not, as the place in the expectation and a sentence."""
        expected = self._expected
        for index, part in enumerate(expected.contains):
            if part not in answer:
                yield f"contains[{index}]", f"{part!r} is not in the answer"
        for index, part in enumerate(expected.excludes):
            if part in answer:
                yield f"excludes[{index}]", f"{part!r} is in the answer"
        if self._pattern is not None and self._pattern.search(answer.encode()) is None:
            yield "matches", f"nothing in the answer matches {expected.matches}"
        if self._validator is not None:
            yield from (("schema", words) for words in _misfits(self._validator, answer))


def _misfits(validator: jsonschema_rs.Draft202012Validator, answer: str) -> list[str]:
    try:
        value = msgspec.json.decode(answer)
    except (msgspec.DecodeError, RecursionError) as error:
        return [f"the answer is not JSON: {error}"]
    return [f"{join('', wrong.instance_path).removeprefix('.') or 'the answer'}: {wrong.message}" for wrong in validator.iter_errors(value)]
