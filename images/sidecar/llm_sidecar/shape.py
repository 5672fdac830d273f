"""How large a request may be in ways its bytes do not show: depth, lists, choices, tokens, stops."""

from collections.abc import Mapping
from typing import Any

import msgspec

from llm_sidecar.bundle import Limits
from llm_sidecar.errors import Refusal

Number = int | float | None
"""A whole number as clients write it; 5.0 is one too."""


_NO_MARKS = bytes(set(range(256)) - set(b"{[,"))
_BLANK = b" \t\r\n"
_LIST = ord("[")
_WRITABLE = 1e300
"""A whole number of a client may have any number of digits, and beyond this it becomes no float to be written as one."""


def too_large(limit: int) -> Refusal:
    """Return the refusal of a body beyond the limit."""
    return Refusal(413, "body_too_large", f"the body is larger than {limit} bytes, this deployment's limits.maxBodyBytes")


class _Asked(msgspec.Struct):
    stream: bool = False


_asked = msgspec.json.Decoder(_Asked)
_list = msgspec.json.Decoder(list[msgspec.Raw])


def wants_stream(body: bytes) -> bool:
    """Return whether a body asks for a stream; what is wrong with it is said by whoever reads it."""
    try:
        return _asked.decode(body).stream
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def check_nesting(body: bytes, limits: Limits) -> None:
    """Raise Refusal for a body that is nested deeper, or has longer lists, than the limits allow.

    Counting brackets and commas bounds both from above and takes a microsecond; only a body beyond that is looked into.
    """
    marks = body.translate(None, _NO_MARKS)  # one walk over the body: counting walks once for each mark
    commas = marks.count(b",")
    if len(marks) - commas <= limits.max_depth and commas < limits.max_items:
        return
    try:
        level = [msgspec.json.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return  # what is wrong with it is said by whoever reads it
    except RecursionError as error:
        raise _too_deep(limits) from error
    for _ in range(limits.max_depth + 1):
        level = [each for each in level if isinstance(each, dict | list)]
        if any(len(each) > limits.max_items for each in level):
            message = f"a list or object has more than {limits.max_items} entries, this deployment's limits.maxItems"
            raise Refusal(400, "too_many_items", message)
        if not level:
            return
        level = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
    raise _too_deep(limits)


def count_prompts(prompt: Any) -> int:
    """Return how many prompts a decoded field holds: a list of texts, or of lists of token ids, is many; token ids alone are one."""
    return len(prompt) if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list) else 1


def count_raw_prompts(prompt: msgspec.Raw) -> int:
    """Return the same of a field that is not decoded; a long text or list of token ids costs nothing."""
    text = memoryview(prompt)
    if text[0] != _LIST:
        return 1
    return len(_list.decode(text)) if bytes(text[1:]).lstrip(_BLANK)[:1] in {b'"', b"["} else 1


def check_counts(limits: Limits, *, n: Number, max_tokens: Mapping[str, Number], stop: str | list[str] | None, prompts: int = 1) -> None:
    """Raise Refusal for more choices, tokens or stop texts than the limits allow; ``max_tokens`` by the names the field has.

    Each of several ``prompts`` in one request has choices of its own.
    """
    if n is not None and n > limits.max_choices:
        raise _too_many("n", n, "choices", limits.max_choices, "limits.maxChoices")
    if prompts * (n or 1) > limits.max_choices:
        raise _too_many("prompt", prompts * (n or 1), "choices", limits.max_choices, "limits.maxChoices")
    if isinstance(stop, list) and len(stop) > limits.max_stops:
        raise _too_many("stop", len(stop), "stop texts", limits.max_stops, "limits.maxStops")
    if limits.max_tokens is not None:
        for name, value in max_tokens.items():
            if value is not None and value > limits.max_tokens:
                raise _too_many(name, value, "tokens", limits.max_tokens, "limits.maxTokens")


def _too_deep(limits: Limits) -> Refusal:
    return Refusal(400, "too_deep", f"the body is nested deeper than {limits.max_depth} levels, this deployment's limits.maxDepth")


def _too_many(param: str, value: Any, what: str, limit: int, field: str) -> Refusal:
    number = f"{value:.15g}" if value < _WRITABLE else "too many"
    return Refusal(400, "limit_exceeded", f"{number} {what}; at most {limit} may be asked for, this deployment's {field}", param=param)
