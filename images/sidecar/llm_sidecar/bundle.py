"""The contract between operator and sidecar: what a sidecar needs to turn a request into an engine call and back.

A bundle is pure data under one content hash. The operator writes it, the sidecar compiles it; both import this file,
so the code that checks a bundle before it ships is the code that runs it.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

import msgspec

SCHEMA_VERSION = 3
"""Newest bundle schema this code can run; sidecars report it, and a bundle that needs more is an Engine change."""

FIRST_SCHEMA = 1


class BundleError(ValueError):
    """A bundle that cannot be run; ``field`` is the path of the offending value in the bundle, dots between names."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    pass


class Message(_Part, frozen=True, kw_only=True):
    """One message that goes in front of the client's own; ``content`` is a template over the inputs."""

    role: Literal["system", "user", "assistant"]
    content: str


class Prompt(_Part, frozen=True, kw_only=True):
    """What is wrapped around the client's text: ``system`` and ``messages``, or one ``template``, never both.

    ``inputs`` is the JSON Schema (an object) of the variables the templates may use. ``template`` sees the client's text as ``prompt``.
    """

    name: str = ""
    digest: str = ""
    system: str | None = None
    messages: tuple[Message, ...] = ()
    template: str | None = None
    inputs: dict[str, Any] | None = None


class Sampling(_Part, frozen=True, kw_only=True):
    """Defaults for sampling fields a request leaves out. Decimals travel as strings: a float would not survive the API server."""

    temperature: Decimal | None = None
    top_p: Decimal | None = None
    top_k: int | None = None
    min_p: Decimal | None = None
    max_tokens: int | None = None
    presence_penalty: Decimal | None = None
    frequency_penalty: Decimal | None = None
    repetition_penalty: Decimal | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


class Limits(_Part, frozen=True, kw_only=True):
    """What one sidecar accepts. Sizes in bytes, times in milliseconds.

    ``hold_*`` bound the requests that wait because no engine can be reached; with ``hold_requests`` 0 they are refused at once.
    ``max_depth`` and ``max_items`` are about the JSON of a body, the others about the fields ``n``, ``max_tokens`` and ``stop``.
    """

    max_body_bytes: int = 4 * 1024 * 1024
    max_concurrency: int = 256
    queue: int = 64
    queue_timeout_ms: int = 2_000
    total_timeout_ms: int = 600_000
    hold_requests: int = 1024
    hold_bytes: int = 64 * 1024 * 1024
    hold_timeout_ms: int = 900_000
    max_depth: int = 64
    max_items: int = 262_144
    max_choices: int = 64
    max_tokens: int | None = None
    max_stops: int = 16


Policy = Literal["Closed", "Open"]
"""What a stage's refusal or failure means for the request: it ends, or it goes on without the stage."""

Action = Literal["Block", "Redact", "Tag"]
"""What happens to text a pattern matches: the request ends, the text is replaced, or it is only counted."""

Entity = Literal["email", "phone", "iban", "card", "ssn", "ip"]


class _Stage(_Part, frozen=True, kw_only=True, tag_field="stage"):
    """What all stages have. ``on_fail`` is about what a stage refuses, ``on_error`` about one that broke or took too long."""

    on_fail: Policy = "Closed"
    on_error: Policy = "Closed"
    timeout_ms: int = 1_000


class Pattern(_Part, frozen=True, kw_only=True):
    """A pattern of the user: RE2, so that it runs in linear time; ``name`` is what replaces or reports a match."""

    name: str
    re2: str


class SchemaStage(_Stage, frozen=True, kw_only=True, tag="schema"):
    """Validates JSON: in a request the body or its variables, in a response the answer, which the engine is told to write so."""

    schema: dict[str, Any]
    of: Literal["Request", "Variables"] = "Request"


class NormaliseStage(_Stage, frozen=True, kw_only=True, tag="normalise"):
    """Brings text to one form, so that nothing can hide from the stages behind it."""

    form: Literal["NFKC", "NFC"] = "NFKC"
    zero_width: Literal["Remove", "Keep"] = "Remove"


class PiiStage(_Stage, frozen=True, kw_only=True, tag="pii"):
    """Finds personal data: built-in entities, and patterns of the user."""

    entities: tuple[Entity, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    action: Action = "Redact"


class BlocklistStage(_Stage, frozen=True, kw_only=True, tag="blocklist"):
    """Finds what must not be said: terms as they are written, and patterns."""

    terms: tuple[str, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    ignore_case: bool = True
    action: Action = "Block"


class TrimStage(_Stage, frozen=True, kw_only=True, tag="trim"):
    """Takes white space off both ends of a text, and what is beyond ``max_characters``."""

    on_error: Policy = "Open"
    max_characters: int | None = None


Stage = SchemaStage | NormaliseStage | PiiStage | BlocklistStage | TrimStage


class Pipeline(_Part, frozen=True, kw_only=True):
    """What happens to a request before the prompt is wrapped around it, and to an answer or stream on its way back, in this order."""

    request: tuple[Stage, ...] = ()
    response: tuple[Stage, ...] = ()


class Auth(_Part, frozen=True, kw_only=True):
    """Who may send requests. The keys are not here: they are in the Secret that sidecars mount, and come and go without a revision."""

    api_keys: Literal["Required", "Disabled"] = "Disabled"


class Bundle(_Part, frozen=True, kw_only=True):
    """Everything of a revision that is not in a pod template. Secrets appear by key name only.

    ``schema_version`` is the oldest schema that has all it uses, not the newest there is: else every upgrade would renew every revision.
    """

    schema_version: int = FIRST_SCHEMA
    prompt: Prompt | None = None
    sampling: Sampling = Sampling()
    limits: Limits = Limits()
    pipeline: Pipeline | None = None
    auth: Auth | None = None


def _uses_second(bundle: Bundle) -> bool:
    usual = Limits()
    shape = ("max_depth", "max_items", "max_choices", "max_tokens", "max_stops")
    return bundle.pipeline is not None or any(getattr(bundle.limits, name) != getattr(usual, name) for name in shape)


SINCE: tuple[tuple[int, Callable[[Bundle], bool]], ...] = ((2, _uses_second), (3, lambda bundle: bundle.auth is not None))
"""What each schema after the first brought: its number, and whether a bundle uses it. Extended with every new field."""


def needed_schema(bundle: Bundle) -> int:
    """Return the oldest schema that has all a bundle uses."""
    return max([FIRST_SCHEMA, *(schema for schema, is_used in SINCE if is_used(bundle))])


_ENCODER = msgspec.json.Encoder(order="sorted", decimal_format="string")
_DECODER = msgspec.json.Decoder(Bundle)
_VERSION = msgspec.json.Decoder(dict[str, Any])


def encode(bundle: Bundle) -> bytes:
    """Return the bundle as JSON with sorted keys and without defaults: the same bundle is always the same bytes."""
    body = msgspec.json.decode(_ENCODER.encode(bundle))
    body["schemaVersion"] = bundle.schema_version  # a reader must see it, also when it is the first
    return _ENCODER.encode(body)


def decode(data: bytes) -> Bundle:
    """Read a bundle, or raise BundleError naming the field; a newer schema is refused before its fields are looked at."""
    try:
        version = _VERSION.decode(data).get("schemaVersion", FIRST_SCHEMA)
    except msgspec.DecodeError as error:
        raise BundleError("", f"not JSON: {error}") from error
    if not isinstance(version, int) or version < 1:
        raise BundleError("schemaVersion", f"{version!r} is not a schema version")
    if version > SCHEMA_VERSION:
        raise BundleError("schemaVersion", f"{version} is newer than {SCHEMA_VERSION}, the newest this sidecar knows")
    try:
        return _DECODER.decode(data)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        raise BundleError(path.rstrip("`"), text) from error
