"""The pipeline: what sidecars do to requests before the prompt is put around them, and to answers and streams on their way back."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.config import JsonDict

from llm_operator.api.base import ApiModel, rule
from llm_operator.api.durations import Duration
from llm_operator.api.llmprompt import FreeObject

MAX_STAGES = 16
MAX_PATTERNS = 64
MAX_PATTERN = 512
MAX_TERMS = 256
MAX_TERM = 128
PATTERN_NAME = r"^[a-z][a-z0-9_-]*$"

StageName = Literal["schema", "normalise", "pii", "blocklist", "trim"]
Entity = Literal["email", "phone", "iban", "card", "ssn", "ip"]
Policy = Literal["Closed", "Open"]
Term = Annotated[str, Field(min_length=1, max_length=MAX_TERM)]


class Pattern(ApiModel):
    """A pattern of your own."""

    name: str = Field(min_length=1, max_length=32, pattern=PATTERN_NAME)
    """Name of what the pattern finds; a redacted text has `<name>` in its place."""
    re2: str = Field(min_length=1, max_length=MAX_PATTERN)
    """Regular expression in RE2's syntax, which runs in linear time; `(?i)` in front ignores case."""


def _only(field: str, *stages: StageName) -> JsonDict:
    """Return the rule that a field is one of these stages'."""
    names = " or ".join(stages)
    allowed = " || ".join(f"self.stage == '{stage}'" for stage in stages)
    return rule(f"!has(self.{field}) || {allowed}", f"{field} belongs to stage {names}; remove it")


class Stage(ApiModel):
    """One stage: `stage` says which, and which other fields it has."""

    rules: ClassVar[tuple[JsonDict, ...]] = (
        _only("schema", "schema"),
        _only("form", "normalise"),
        _only("zeroWidth", "normalise"),
        _only("entities", "pii"),
        _only("patterns", "pii", "blocklist"),
        _only("terms", "blocklist"),
        _only("ignoreCase", "blocklist"),
        _only("action", "pii", "blocklist"),
        _only("maxCharacters", "trim"),
        rule("self.stage != 'schema' || has(self.schema)", "stage schema needs schema, a JSON Schema"),
        rule("self.stage != 'pii' || has(self.entities) || has(self.patterns)", "stage pii needs entities or patterns"),
        rule("self.stage != 'blocklist' || has(self.terms) || has(self.patterns)", "stage blocklist needs terms or patterns"),
    )

    stage: StageName
    """What is done: `schema` validates JSON, `normalise` brings text to one Unicode form, `pii` finds personal data, `blocklist` finds what
    must not be said, `trim` takes off what is too much."""
    on_fail: Policy | None = None
    """What it means when the stage refuses a text: `Closed` ends the request with an error, `Open` lets it pass and says so in the header
    x-llm-degraded. By default Closed."""
    on_error: Policy | None = None
    """What it means when the stage itself fails or takes longer than `timeout`: `Closed` ends the request, `Open` goes on without the
    stage and says so in the header x-llm-degraded. By default Closed, for trim Open."""
    timeout: Annotated[str, Duration("1ms", "10s")] | None = None
    """Time the stage may take for one request, or for one piece of a stream; by default 1s."""
    json_schema: FreeObject | None = Field(default=None, alias="schema")
    """`schema`: JSON Schema, draft 2020-12, without references to other documents. In `response` the engine is
    told to write it, too."""
    form: Literal["NFKC", "NFC"] | None = None
    """`normalise`: the Unicode form, by default NFKC, in which letters that look alike are the same."""
    zero_width: Literal["Remove", "Keep"] | None = None
    """`normalise`: whether characters nobody sees are removed; by default they are. Keep them for scripts and emoji that need joiners."""
    entities: tuple[Entity, ...] | None = Field(default=None, min_length=1, max_length=6)
    """`pii`: kinds of personal data that are found by built-in patterns."""
    patterns: tuple[Pattern, ...] | None = Field(default=None, min_length=1, max_length=MAX_PATTERNS)
    """`pii` and `blocklist`: patterns of your own."""
    terms: tuple[Term, ...] | None = Field(default=None, min_length=1, max_length=MAX_TERMS)
    """`blocklist`: words and phrases, as they are written."""
    ignore_case: bool | None = None
    """`blocklist`: whether capital and small letters are the same in terms and patterns; by default they are."""
    action: Literal["Block", "Redact", "Tag"] | None = None
    """`pii` and `blocklist`: what happens to text that is found: `Block` refuses it, `Redact` puts the name in its place, `Tag` only counts
    it. By default pii redacts and blocklist blocks."""
    max_characters: int | None = Field(default=None, ge=1, le=10_000_000)
    """`trim`: most characters of a text; by default only white space around it is taken off."""


class RequestStage(Stage):
    """One stage of a request: `stage` says which, and which other fields it has."""

    rules: ClassVar[tuple[JsonDict, ...]] = (*Stage.rules, _only("of", "schema"))

    of: Literal["Request", "Variables"] | None = None
    """`schema`: what is validated, the whole body, which is the default, or the variables in `prompt.variables`."""


class Pipeline(ApiModel):
    """Stages, run in the order they are written."""

    request: tuple[RequestStage, ...] = Field(default=(), max_length=MAX_STAGES)
    """What happens to the client's text, before the prompt is put around it."""
    response: tuple[Stage, ...] = Field(default=(), max_length=MAX_STAGES)
    """What happens to the engine's text, in a whole answer and in a stream alike."""
