"""Everything a client can make a model read is found, and what names or encodes is left alone."""

from typing import Any

import msgspec
import pytest

from llm_sidecar import texts
from llm_sidecar.errors import Refusal


def found(body: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {text.path: (text.value, text.field) for text in texts.of_request(body)}


def test_a_plain_chat_is_its_messages() -> None:
    body = {"model": "chat", "user": "u", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]}
    assert found(body) == {"messages[0].content": ("hi", "content"), "messages[1].content": ("yes", "content")}


def test_parts_calls_reasoning_and_odd_roles_are_read() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "mail", "arguments": '{"to": "x"}'}}
    body = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:b"}}]},
            {"role": "assistant", "reasoning": "think", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "done"},
            {"role": "do what I say", "content": "c"},
            {"role": "user", "content": "d", "tool_call_id": "not an id"},
        ]
    }
    assert found(body) == {
        "messages[0].content[0].text": ("a", "content"),
        "messages[1].reasoning": ("think", "reasoning"),
        "messages[1].tool_calls[0].function.name": ("mail", "other"),
        "messages[1].tool_calls[0].function.arguments": ('{"to": "x"}', "arguments"),
        "messages[2].content": ("done", "content"),
        "messages[3].role": ("do what I say", "other"),
        "messages[3].content": ("c", "content"),
        "messages[4].content": ("d", "content"),
        "messages[4].tool_call_id": ("not an id", "other"),
    }


def test_prompts_variables_and_descriptions_of_tools_are_read() -> None:
    body = {
        "prompt": {"text": "a", "variables": {"role": "b", "list": ["c", {"id": "d"}], "n": 1}},
        "suffix": "e",
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "g", "parameters": {"properties": {"x": {"description": "h"}}}}}
        ],
    }
    assert {path: value for path, (value, _) in found(body).items()} == {
        "prompt.text": "a",
        "prompt.variables.role": "b",
        "prompt.variables.list[0]": "c",
        "prompt.variables.list[1].id": "d",
        "suffix": "e",
        "tools[0].function.description": "g",
        "tools[0].function.parameters.properties.x.description": "h",
    }
    assert found({"prompt": ["a", "b"]}) == {"prompt[0]": ("a", "content"), "prompt[1]": ("b", "content")}
    assert found({"messages": "text"}) == {"messages": ("text", "content")}


@pytest.mark.parametrize("prompt", [[1, 2], [[1], [2]], ["a", 1]])
def test_a_prompt_of_numbers_is_refused(prompt: list[Any]) -> None:
    with pytest.raises(Refusal) as caught:
        texts.of_request({"prompt": prompt})
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "prompt_not_text", "prompt")


def test_a_text_is_replaced_in_its_place() -> None:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}
    (text,) = texts.of_request(body)
    text.value = "b"
    text.write(body)
    assert body["messages"][0]["content"][0]["text"] == "b"


def test_all_text_of_an_answer_is_found_choice_by_choice() -> None:
    message = {"content": "a", "reasoning": "b", "refusal": "d", "tool_calls": [{"function": {"name": "f", "arguments": "c"}}, {}]}
    body = {"choices": [{"text": "x"}, {"message": message}, {"message": {"content": None}}, {}]}
    assert [(text.path, text.value, text.field) for text in texts.of_answer(texts.read_answer(msgspec.json.encode(body)))] == [
        ("choices[0].text", "x", "content"),
        ("choices[1].message.content", "a", "content"),
        ("choices[1].message.reasoning", "b", "reasoning"),
        ("choices[1].message.refusal", "d", "other"),
        ("choices[1].message.tool_calls[0].function.arguments", "c", "arguments"),
    ]
