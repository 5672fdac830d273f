"""``schema``: JSON that fits a JSON Schema. In a request its body or variables; in a response the answer."""

from typing import Any, ClassVar

import jsonschema_rs
import msgspec

from llm_sidecar.bundle import SchemaStage
from llm_sidecar.schemas import compile_schema, join
from llm_sidecar.stages import ALLOW, CONTENT, Allow, Block, BlockedError, Field, Verdict

_MAX_ANSWER = 8 * 1024 * 1024
"""Characters of a streamed answer that are kept to be validated at its end."""

_SHOWN = 200


class RequestSchema:
    """Validates what a client sent, as the stages before it have left it."""

    __slots__ = ("_of", "_validator")

    def __init__(self, validator: jsonschema_rs.Draft202012Validator, of: str) -> None:
        self._validator = validator
        self._of = of

    def check(self, body: dict[str, Any]) -> Allow | Block:
        """Judge the body, or its variables."""
        value, field = (body, "") if self._of == "Request" else (variables(body), "prompt.variables")
        if self._validator.is_valid(value):
            return ALLOW
        where, message = _first_error(self._validator, value)
        return Block(message, "request_invalid", 400, join(field, where).removeprefix("."))


class AnswerSchema:
    """Validates answers. What a client has seen of a stream cannot be taken back, so a stream that is wrong ends with an error."""

    reads: ClassVar[frozenset[Field]] = CONTENT
    __slots__ = ("_validator", "hides", "response_format")

    def __init__(self, validator: jsonschema_rs.Draft202012Validator, schema: dict[str, Any]) -> None:
        self._validator = validator
        self.response_format = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
        self.hides = False

    def judge(self, text: str) -> Verdict:
        """Judge a whole answer; one without text, such as a call of a tool, has nothing to be judged."""
        if not text:
            return ALLOW
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            return Block(f"the answer is not JSON: {error}", "answer_invalid", 502)
        if self._validator.is_valid(value):
            return ALLOW
        # The validator's own words quote the answer, which the stages behind this one have not seen yet.
        rule = join("", next(iter(self._validator.iter_errors(value))).schema_path).removeprefix(".")
        return Block(f"the answer does not fit its schema: not what {rule or 'it'} asks for", "answer_invalid", 502)

    def stream(self) -> "Collected":
        """Return a filter that lets everything pass and judges at the end."""
        return Collected(self)


class Collected:
    """Keeps a copy of what has passed."""

    __slots__ = ("_parts", "_size", "_stage", "found", "held")

    def __init__(self, stage: AnswerSchema) -> None:
        self._stage = stage
        self._parts: list[str] = []
        self._size = 0
        self.held = ""
        self.found: set[str] = set()

    def feed(self, text: str) -> str:
        """Return the text as it is."""
        self._size += len(text)
        if self._size > _MAX_ANSWER:
            raise BlockedError(Block(f"the answer is longer than {_MAX_ANSWER} characters", "answer_invalid", 502))
        self._parts.append(text)
        return text

    def finish(self) -> str:
        """Return nothing, or raise BlockedError for an answer that does not fit."""
        verdict = self._stage.judge("".join(self._parts))
        if isinstance(verdict, Block):
            raise BlockedError(verdict)
        return ""


def compile_request(spec: SchemaStage, field: str) -> RequestSchema:
    """Return the stage of a request."""
    return RequestSchema(compile_schema(spec.schema, f"{field}.schema"), spec.of)


def compile_answer(spec: SchemaStage, field: str) -> AnswerSchema:
    """Return the stage of a response."""
    return AnswerSchema(compile_schema(spec.schema, f"{field}.schema"), spec.schema)


def variables(body: dict[str, Any]) -> Any:
    """Return the variables a client's body brings."""
    prompt = body.get("prompt")
    return (prompt.get("variables") or {}) if isinstance(prompt, dict) else {}


def _first_error(validator: jsonschema_rs.Draft202012Validator, value: Any) -> tuple[list[str | int], str]:
    error = next(iter(validator.iter_errors(value)))
    message = error.message if len(error.message) <= _SHOWN else f"{error.message[:_SHOWN]}…"
    return list(error.instance_path), message
