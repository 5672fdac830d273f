"""A request body read as vLLM reads it: checked, with defaults, its prompt counted."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .answer import Text, body_hash, chat_tokens_of, completion_tokens_of
from .options import Options

_COMPLETION_DEFAULT_TOKENS = 16


class CallError(Exception):
    """An answer that refuses the request, in one of vLLM's shapes."""

    def __init__(self, status: int, message: str, kind: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": status}}


@dataclass(frozen=True)
class Call:
    """One chat or completion request."""

    chat: bool
    model: str
    hash: str
    prompts: tuple[str, ...]
    prompt_tokens: int
    max_tokens: int
    natural_end: str
    choices: int
    stops: tuple[str, ...]
    stream: bool
    usage: bool
    usage_on_every_chunk: bool
    echo: bool

    def texts(self) -> list[Text]:
        """Return the text of each choice."""
        return [Text(self.hash, index) for index in range(self.choices)]


def read_call(path: str, raw: bytes, options: Options) -> Call:
    """Return the call a body asks for, or raise CallError with what vLLM would answer."""
    chat = path == "/v1/chat/completions"
    body = _parsed(raw)
    _check_fields(body, chat=chat)
    model = body.get("model") or options.names[0]
    if model not in options.names:
        message = f"The model `{model}` does not exist. Valid aliases: {', '.join(options.names)}."
        raise CallError(404, message, "NotFoundError", "model")
    prompts, tokens = _prompt(body, chat=chat)
    most = options.max_model_len - max(tokens)
    if most <= 0:
        message = (
            f"This model's maximum context length is {options.max_model_len} tokens. However, your prompt contains at least {max(tokens)} "
            "input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. "
            f"(parameter=input_tokens, value={max(tokens)})"
        )
        raise CallError(400, message, "BadRequestError", "input_tokens")
    asked = body.get("max_completion_tokens") or body.get("max_tokens")
    natural = options.pace.default_tokens if chat else _COMPLETION_DEFAULT_TOKENS
    force = options.force_usage
    stream_options = body.get("stream_options") or {}
    stop = body.get("stop") or ()
    return Call(
        chat=chat,
        model=model,
        hash=body_hash(raw),
        prompts=prompts,
        prompt_tokens=sum(tokens),
        max_tokens=min(asked or natural, most),
        natural_end="length" if asked or not chat or natural > most else "stop",
        choices=(body.get("n") or 1) * len(tokens),
        stops=(stop,) if isinstance(stop, str) else tuple(stop),
        stream=bool(body.get("stream")),
        usage=force or bool(stream_options.get("include_usage")),
        usage_on_every_chunk=force or bool(stream_options.get("include_usage") and stream_options.get("continuous_usage_stats")),
        echo=bool(body.get("echo")),
    )


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise _invalid("json_invalid", "body", "JSON decode error", raw[:40].decode(errors="replace")) from error
    if not isinstance(body, dict):
        raise _invalid("model_attributes_type", "body", "Input should be a valid dictionary or object to extract fields from", body)
    return body


def _prompt(body: Mapping[str, Any], *, chat: bool) -> tuple[tuple[str, ...], list[int]]:
    if chat:
        return ("",), [chat_tokens_of(body["messages"])]
    prompt = body["prompt"]
    batch = prompt if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else [prompt]
    return tuple(each if isinstance(each, str) else "" for each in batch), [completion_tokens_of(each) for each in batch]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_prompt(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and bool(value) and all(isinstance(each, str | int | list) for each in value))


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) and isinstance(each.get("role"), str) for each in value)


def _is_stop(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(each, str) for each in value))


_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str, str]] = {
    "temperature": (_is_number, "float_parsing", "Input should be a valid number, unable to parse string as a number"),
    "top_p": (_is_number, "float_parsing", "Input should be a valid number, unable to parse string as a number"),
    "min_p": (_is_number, "float_parsing", "Input should be a valid number, unable to parse string as a number"),
    "presence_penalty": (_is_number, "float_parsing", "Input should be a valid number, unable to parse string as a number"),
    "frequency_penalty": (_is_number, "float_parsing", "Input should be a valid number, unable to parse string as a number"),
    "max_tokens": (_is_count, "int_parsing", "Input should be a valid integer, unable to parse string as an integer"),
    "max_completion_tokens": (_is_count, "int_parsing", "Input should be a valid integer, unable to parse string as an integer"),
    "n": (_is_count, "int_parsing", "Input should be a valid integer, unable to parse string as an integer"),
    "seed": (_is_count, "int_parsing", "Input should be a valid integer, unable to parse string as an integer"),
    "stream": (lambda value: isinstance(value, bool), "bool_parsing", "Input should be a valid boolean, unable to interpret input"),
    "stream_options": (lambda value: isinstance(value, dict), "model_attributes_type", "Input should be a valid dictionary"),
    "stop": (_is_stop, "list_type", "Input should be a valid list"),
    "model": (_is_text, "string_type", "Input should be a valid string"),
    "messages": (_is_messages, "list_type", "Input should be a valid list"),
    "prompt": (_is_prompt, "string_type", "Input should be a valid string"),
}


def _check_fields(body: Mapping[str, Any], *, chat: bool) -> None:
    for name, (check, kind, message) in _CHECKS.items():
        if body.get(name) is not None and not check(body[name]):
            raise _invalid(kind, f"body.{name}", message, body[name])
    needed = "messages" if chat else "prompt"
    if body.get(needed) is None:
        raise _invalid("missing", f"body.{needed}", "Field required", dict(body))
    for name, least in (("max_tokens", 1), ("max_completion_tokens", 1), ("n", 1), ("temperature", 0)):
        value = body.get(name)
        if value is not None and value < least:
            raise CallError(400, f"{name} must be at least {least}, got {value}.", "BadRequestError", name)


def _invalid(kind: str, where: str, message: str, given: Any) -> CallError:
    detail = {"type": kind, "loc": where, "msg": message, "input": given}
    return CallError(400, f"1 validation error:\n  {detail}", "Bad Request", where)
