"""The classic ``POST /generate``: read strictly, turned into a completion request with the defaults the old server had."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from llm_sidecar import prompt
from llm_sidecar.compile import Compiled
from llm_sidecar.errors import Refusal
from llm_sidecar.request import DANGEROUS, bad_json
from llm_sidecar.shape import check_counts

_MAX_CHOICES = 128


class Wrapped(msgspec.Struct):
    """The prompt of a request that also supplies variables."""

    text: str
    variables: dict[str, Any] | None = None


class Classic(msgspec.Struct):
    """A classic request. Every key but ``prompt`` and ``stream`` is a sampling parameter; null means not given."""

    prompt: str | Wrapped
    stream: bool | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=_MAX_CHOICES)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    max_tokens: int | None = None
    min_tokens: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    include_stop_str_in_output: bool | None = None
    ignore_eos: bool | None = None
    skip_special_tokens: bool | None = None
    spaces_between_special_tokens: bool | None = None
    truncate_prompt_tokens: int | None = None


# What the old server used; the OpenAI route would take defaults from the model's generation config instead.
DEFAULTS = {
    "n": 1,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "max_tokens": 16,
}

_KNOWN = frozenset(Classic.__struct_fields__)
_SAMPLING = tuple(name for name in Classic.__struct_fields__ if name not in {"prompt", "stream"})
_keys = msgspec.json.Decoder(dict[str, msgspec.Raw])
_classic = msgspec.json.Decoder(Classic)


@dataclass(frozen=True, slots=True)
class Translated:
    """A classic request as the engine gets it, with what the answer needs: the client's own text and the number of choices."""

    body: bytes
    echo: str
    choices: int
    stream: bool
    unknown_keys: int


def echo_of(body: bytes) -> str:
    """Return the client's own text, which every answer repeats."""
    asked = _classic.decode(body)
    return asked.prompt if isinstance(asked.prompt, str) else asked.prompt.text


def translate(compiled: Compiled, served_name: str, body: bytes) -> Translated:
    """Turn a classic request into a completion request, or raise Refusal 400 naming the key."""
    try:
        keys = _keys.decode(body)
        asked = _classic.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_json(error) from error
    for name in DANGEROUS:
        if name in keys:
            raise Refusal(400, "field_not_allowed", f"{name} cannot be set by a request; remove it", param=name)
    check_counts(compiled.limits, n=asked.n, max_tokens={"max_tokens": asked.max_tokens}, stop=asked.stop)
    text, variables = (asked.prompt, {}) if isinstance(asked.prompt, str) else (asked.prompt.text, asked.prompt.variables or {})
    given = {name: value for name in _SAMPLING if (value := getattr(asked, name)) is not None}
    sampling = {**DEFAULTS, **compiled.sampling, **given}
    stream = bool(asked.stream)
    answer = compiled.pipeline.answer if compiled.pipeline is not None else None
    shape = {"response_format": answer.response_format} if answer is not None else {}
    return Translated(
        body=prompt.encode({"model": served_name, "prompt": prompt.wrap(compiled, text, variables), "stream": stream, **sampling, **shape}),
        echo=text,
        choices=sampling["n"],
        stream=stream,
        unknown_keys=len(keys.keys() - _KNOWN),
    )
