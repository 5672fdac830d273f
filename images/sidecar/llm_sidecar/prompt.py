"""What a revision's prompt and sampling defaults do to a request. Client text goes in as a value and is never read as a template."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from llm_sidecar.compile import TEMPLATE, Compiled, Prepared
from llm_sidecar.errors import Refusal
from llm_sidecar.inputs import VariablesError
from llm_sidecar.templates import RenderError


def apply_chat(compiled: Compiled, body: dict[str, Any]) -> bool:
    """Apply a revision to a chat request in place; return whether anything changed."""
    prompt = compiled.prompt
    changed = "prompt" in body
    variables = _variables(prompt, _extension(body.pop("prompt", None)))
    if prompt is not None and prompt.has_template:
        _replace_last_user_text(prompt, variables, body)
        changed = True
    elif prompt is not None and prompt.messages:
        body["messages"] = [*_ours(prompt, variables), *_messages(body)]
        changed = True
    return _fill(compiled.sampling, body, skip="max_tokens" if body.get("max_completion_tokens") is not None else "") or changed


def apply_completion(compiled: Compiled, body: dict[str, Any]) -> bool:
    """Apply a revision to a completion request in place; return whether anything changed."""
    given = body.get("prompt")
    prompt = compiled.prompt
    supplied: Mapping[str, Any] = {}
    changed = isinstance(given, dict)
    if isinstance(given, dict):
        supplied = _extension(given)
        text = given.get("text")
        if not isinstance(text, str):
            raise Refusal(400, "invalid_type", "prompt.text is not a string", param="prompt.text")
        body["prompt"] = given = text
    variables = _variables(prompt, supplied)
    if prompt is not None and (prompt.has_template or prompt.messages):
        body["prompt"] = _wrap_any(prompt, variables, given)
        changed = True
    return _fill(compiled.sampling, body) or changed


def wrap(compiled: Compiled, text: str, supplied: Mapping[str, Any]) -> str:
    """Return the text a completion engine gets for a client's text."""
    variables = _variables(compiled.prompt, supplied)
    return text if compiled.prompt is None else _wrap(compiled.prompt, variables, text)


def encode(body: Mapping[str, Any]) -> bytes:
    """Return a changed request as JSON, or raise Refusal for a number JSON readers would not agree on."""
    try:
        return orjson.dumps(body)
    except TypeError as error:  # orjson's own error is a TypeError: integers beyond 64 bits
        raise Refusal(400, "invalid_json", f"the body cannot be passed on: {error}") from error


def _extension(prompt: Any) -> Mapping[str, Any]:
    if prompt is None:
        return {}
    if not isinstance(prompt, dict):
        raise Refusal(400, "invalid_type", 'prompt is not an object like {"variables": {…}}', param="prompt")
    variables = prompt.get("variables") or {}
    if not isinstance(variables, dict):
        raise Refusal(400, "invalid_type", "prompt.variables is not an object", param="prompt.variables")
    return variables


def _variables(prompt: Prepared | None, supplied: Mapping[str, Any]) -> Mapping[str, Any]:
    if prompt is None:
        if supplied:
            raise Refusal(400, "unknown_variable", "this revision has no prompt, so it takes no variables", param="prompt.variables")
        return {}
    try:
        return prompt.inputs.resolve(supplied)
    except VariablesError as error:
        raise Refusal(400, "invalid_variables", str(error), param=error.param) from error


def _ours(prompt: Prepared, variables: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    if prompt.plain and variables is prompt.inputs.defaults:
        return prompt.plain
    return [{"role": role, "content": _render(prompt, field, variables)} for role, field in prompt.messages]


def _render(prompt: Prepared, field: str, variables: Mapping[str, Any]) -> str:
    try:
        return prompt.templates.render(field, variables)
    except RenderError as error:
        raise Refusal(
            422, "prompt_not_rendered", f"the prompt cannot be rendered with these variables: {error}", param="prompt.variables"
        ) from error


def _messages(body: Mapping[str, Any]) -> list[Any]:
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise Refusal(400, "invalid_type", "messages is missing or not a list", param="messages")
    return messages


def _replace_last_user_text(prompt: Prepared, variables: Mapping[str, Any], body: dict[str, Any]) -> None:
    messages = _messages(body)
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if isinstance(message, dict) and message.get("role") == "user":
            body["messages"] = [*messages[:index], _with_text(prompt, variables, message, index), *messages[index + 1 :]]
            return
    raise Refusal(400, "no_user_message", "this prompt is a template around the last user message, and there is none", param="messages")


def _with_text(prompt: Prepared, variables: Mapping[str, Any], message: dict[str, Any], index: int) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": _render(prompt, TEMPLATE, {**variables, "prompt": content})}
    if isinstance(content, list):
        texts = [part for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
        if texts:
            text = _render(prompt, TEMPLATE, {**variables, "prompt": "\n".join(part["text"] for part in texts)})
            others = [part for part in content if part not in texts]
            return {**message, "content": [*others, {"type": "text", "text": text}]}
    raise Refusal(400, "no_text", "this message has no text for the template", param=f"messages[{index}].content")


def _wrap_any(prompt: Prepared, variables: Mapping[str, Any], given: Any) -> Any:
    if isinstance(given, str):
        return _wrap(prompt, variables, given)
    if isinstance(given, list) and given and all(isinstance(item, str) for item in given):
        return [_wrap(prompt, variables, item) for item in given]
    raise Refusal(
        400,
        "invalid_type",
        "this revision wraps text, so prompt has to be a string, a list of strings, or an object with text",
        param="prompt",
    )


def _wrap(prompt: Prepared, variables: Mapping[str, Any], text: str) -> str:
    if prompt.has_template:
        return _render(prompt, TEMPLATE, {**variables, "prompt": text})
    return "\n\n".join([*(_render(prompt, field, variables) for _, field in prompt.messages), text])


def _fill(sampling: Mapping[str, Any], body: dict[str, Any], skip: str = "") -> bool:
    changed = False
    for name, value in sampling.items():
        if body.get(name) is None and name != skip:
            body[name] = value
            changed = True
    return changed
