"""A client's body: a typed look at the few fields the sidecar needs, and the refusal of those that are dangerous."""

import operator
from collections.abc import Mapping
from typing import Any

import msgspec

from llm_sidecar.bundle import Limits
from llm_sidecar.errors import Refusal
from llm_sidecar.shape import Number, check_counts, count_prompts, count_raw_prompts
from llm_sidecar.stream.relay import Wish

DANGEROUS = (
    "chat_template",
    "chat_template_kwargs",
    "documents",
    "ec_transfer_params",
    "kv_transfer_params",
    "logits_processors",
    "media_io_kwargs",
    "mm_processor_kwargs",
    "multi_modal_data",
    "prompt_embeds",
    "vllm_xargs",
)
"""Fields through which a request could run templates, load objects or steer the engine's transfer of data."""

_TOKENS = frozenset(
    {"logprobs", "prompt_logprobs", "logprob_token_ids", "return_token_ids", "return_tokens_as_token_ids", "return_prompt_text"}
)
_FORMATS = ("response_format", "structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar")

_Unset = msgspec.UnsetType


class StreamOptions(msgspec.Struct, gc=False):
    """What a client wants to know at the end of a stream."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class Seen(msgspec.Struct):
    """The fields of a chat or completion request the sidecar looks at. Unknown ones pass through to the engine."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Number = None
    max_tokens: Number = None
    max_completion_tokens: Number = None
    stop: str | list[str] | None = None

    @property
    def usage_wish(self) -> Wish:
        """Return what the client asked for about usage in its stream."""
        options = self.stream_options
        if options is None or not options.include_usage:
            return Wish.NOTHING
        return Wish.ALWAYS if options.continuous_usage_stats else Wish.AT_END


class View(Seen):
    """The same in bytes that are not decoded otherwise, with what else must be noticed there."""

    prompt: msgspec.Raw | _Unset = msgspec.UNSET
    chat_template: msgspec.Raw | _Unset = msgspec.UNSET
    chat_template_kwargs: msgspec.Raw | _Unset = msgspec.UNSET
    documents: msgspec.Raw | _Unset = msgspec.UNSET
    ec_transfer_params: msgspec.Raw | _Unset = msgspec.UNSET
    kv_transfer_params: msgspec.Raw | _Unset = msgspec.UNSET
    logits_processors: msgspec.Raw | _Unset = msgspec.UNSET
    media_io_kwargs: msgspec.Raw | _Unset = msgspec.UNSET
    mm_processor_kwargs: msgspec.Raw | _Unset = msgspec.UNSET
    multi_modal_data: msgspec.Raw | _Unset = msgspec.UNSET
    prompt_embeds: msgspec.Raw | _Unset = msgspec.UNSET
    vllm_xargs: msgspec.Raw | _Unset = msgspec.UNSET


_DANGEROUS = frozenset(DANGEROUS)
_dangerous = operator.attrgetter(*DANGEROUS)
_NOTHING_SET = (msgspec.UNSET,) * len(DANGEROUS)
_view = msgspec.json.Decoder(View)
_whole = msgspec.json.Decoder(dict[str, Any])


def view(body: bytes, limits: Limits) -> View:
    """Return the typed look at a body, or raise Refusal 400 naming the field."""
    try:
        seen = _view.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_json(error) from error
    if _dangerous(seen) != _NOTHING_SET:
        raise _not_allowed(next(name for name in DANGEROUS if getattr(seen, name) is not msgspec.UNSET))
    _check_counts(seen, limits, count_raw_prompts(seen.prompt) if isinstance(seen.prompt, msgspec.Raw) else 1)
    return seen


def look(body: Mapping[str, Any], limits: Limits) -> Seen:
    """Return the typed look at a body that is decoded already, or raise Refusal 400 naming the field."""
    try:
        seen = msgspec.convert(body, Seen)
    except msgspec.ValidationError as error:
        raise bad_json(error) from error
    if not _DANGEROUS.isdisjoint(body):
        raise _not_allowed(next(name for name in DANGEROUS if name in body))
    _check_counts(seen, limits, count_prompts(body.get("prompt")))
    return seen


def _not_allowed(name: str) -> Refusal:
    return Refusal(400, "field_not_allowed", f"{name} cannot be set by a request; remove it", param=name)


def _check_counts(seen: Seen, limits: Limits, prompts: int) -> None:
    if seen.n is not None or seen.stop is not None or limits.max_tokens is not None or prompts > 1:
        tokens = {"max_tokens": seen.max_tokens, "max_completion_tokens": seen.max_completion_tokens}
        check_counts(limits, n=seen.n, max_tokens=tokens, stop=seen.stop, prompts=prompts)


def whole(body: bytes) -> dict[str, Any]:
    """Return the whole body as a dict, for where a field of it has to change."""
    try:
        return _whole.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_json(error) from error


def refuse_tokens(body: Mapping[str, Any], stage: str) -> None:
    """Raise Refusal for a request that asks for single tokens of a text that a stage hides from the client."""
    if _TOKENS.isdisjoint(body):
        return
    for name in sorted(_TOKENS & body.keys()):
        if body.get(name) is not None and body[name] is not False:  # 0 asks for the tokens themselves
            raise Refusal(400, "field_not_allowed", f"{name} would show what the stage {stage} hides; remove it", param=name, stage=stage)


def refuse_formats(body: Mapping[str, Any]) -> None:
    """Raise Refusal for a request with a format of its own where the deployment says what answers look like."""
    for name in _FORMATS:
        if body.get(name) is not None:
            message = f"the schema of answers is set by this deployment; remove {name}"
            raise Refusal(400, "field_not_allowed", message, param=name, stage="schema")


def bad_json(error: Exception) -> Refusal:
    """Return the refusal for a body that is not what it should be."""
    if isinstance(error, msgspec.ValidationError):
        message, _, path = str(error).partition(" - at `$")
        return Refusal(400, "invalid_type", message, param=path.strip("`.") or None)
    return Refusal(400, "invalid_json", f"the body is not valid JSON: {error}")
