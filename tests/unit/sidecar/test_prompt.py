"""What a revision does to a request, and that what clients say never becomes a template."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar import prompt
from llm_sidecar.bundle import Bundle, Message, Prompt, Sampling
from llm_sidecar.compile import Compiled, compile_bundle
from llm_sidecar.errors import Refusal

TONE = {"properties": {"tone": {"type": "string", "enum": ["kind", "strict"], "default": "kind"}}}


def compiled(**fields: Any) -> Compiled:
    sampling = fields.pop("sampling", Sampling())
    return compile_bundle(Bundle(prompt=Prompt(**fields) if fields else None, sampling=sampling))


def chat(revision: Compiled, *messages: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    body = {"messages": [{"role": role, "content": content} for role, content in messages], **fields}
    prompt.apply_chat(revision, body)
    return body


def complete(revision: Compiled, given_prompt: Any, **fields: Any) -> Any:
    body = {"prompt": given_prompt, **fields}
    prompt.apply_completion(revision, body)
    return body["prompt"]


def test_system_and_messages_go_in_front_of_the_clients_messages() -> None:
    revision = compiled(
        system="Be {{ tone }}.", messages=(Message(role="user", content="1+1"), Message(role="assistant", content="2")), inputs=TONE
    )
    body = chat(revision, ("system", "theirs"), ("user", "2+2"))
    assert [(message["role"], message["content"]) for message in body["messages"]] == [
        ("system", "Be kind."),
        ("user", "1+1"),
        ("assistant", "2"),
        ("system", "theirs"),
        ("user", "2+2"),
    ]


def test_variables_of_a_chat_request_are_used_and_do_not_travel_on() -> None:
    body = chat(compiled(system="Be {{ tone }}.", inputs=TONE), ("user", "hi"), prompt={"variables": {"tone": "strict"}})
    assert body["messages"][0]["content"] == "Be strict."
    assert "prompt" not in body


def test_a_template_replaces_the_text_of_the_last_user_message_only() -> None:
    body = chat(compiled(template="<{{ prompt }}>"), ("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four"))
    assert [message["content"] for message in body["messages"]] == ["one", "two", "<three>", "four"]


def test_a_template_keeps_the_parts_that_are_not_text() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    body = chat(compiled(template="<{{ prompt }}>"), ("user", [image, {"type": "text", "text": "what"}, {"type": "text", "text": "is it"}]))
    assert body["messages"][0]["content"] == [image, {"type": "text", "text": "<what\nis it>"}]


@pytest.mark.parametrize(
    ("given_prompt", "wanted"),
    [("a", "<a>"), (["a", "b"], ["<a>", "<b>"]), ({"text": "a"}, "<a>")],
)
def test_a_template_wraps_every_text_of_a_completion(given_prompt: Any, wanted: Any) -> None:
    assert complete(compiled(template="<{{ prompt }}>"), given_prompt) == wanted


def test_without_a_template_a_completion_gets_the_contents_joined_by_blank_lines() -> None:
    revision = compiled(system="Be {{ tone }}.", messages=(Message(role="user", content="Q"),), inputs=TONE)
    assert complete(revision, {"text": "hi", "variables": {"tone": "strict"}}) == "Be strict.\n\nQ\n\nhi"
    assert prompt.wrap(revision, "hi", {}) == "Be kind.\n\nQ\n\nhi"


def test_without_a_prompt_the_extended_form_becomes_plain_text() -> None:
    assert complete(compiled(), {"text": "hi"}) == "hi"
    assert prompt.wrap(compiled(), "hi", {}) == "hi"


@given(st.text(), st.text())
def test_text_and_variables_are_values_and_never_templates(text: str, value: str) -> None:
    revision = compiled(template="[{{ v }}|{{ prompt }}]", inputs={"properties": {"v": {"type": "string"}}, "required": ["v"]})
    assert complete(revision, {"text": text, "variables": {"v": value}}) == f"[{value}|{text}]"


@pytest.mark.parametrize("text", ["{{ 7*7 }}", "{% for x in range(9) %}x{% endfor %}", "{{ v }}", "{# gone #}", "<b>&amp;</b>"])
def test_what_looks_like_a_template_stays_as_it_is(text: str) -> None:
    assert complete(compiled(template="{{ prompt }}!"), text) == f"{text}!"


def test_client_sampling_wins_over_the_revisions() -> None:
    revision = compiled(sampling=Sampling(temperature=Decimal("0.2"), max_tokens=9, stop=("x",)))
    body = chat(revision, ("user", "hi"), temperature=1.5, stop=None)
    assert (body["temperature"], body["max_tokens"], body["stop"]) == (1.5, 9, ["x"])


def test_the_newer_name_of_max_tokens_counts_as_given() -> None:
    assert "max_tokens" not in chat(compiled(sampling=Sampling(max_tokens=9)), ("user", "hi"), max_completion_tokens=5)


def test_a_request_that_has_everything_is_unchanged() -> None:
    revision = compiled(sampling=Sampling(seed=1))
    assert not prompt.apply_chat(revision, {"messages": [], "seed": 4})
    assert not prompt.apply_completion(revision, {"prompt": "x", "seed": 4})
    assert prompt.apply_completion(revision, {"prompt": "x"})


@pytest.mark.parametrize(
    ("revision", "body", "status", "param"),
    [
        (compiled(system="{{ tone }}", inputs=TONE), {"prompt": {"variables": {"tone": "rude"}}}, 400, "prompt.variables.tone"),
        (compiled(system="{{ tone }}", inputs=TONE), {"prompt": {"variables": {"tome": "kind"}}}, 400, "prompt.variables"),
        (compiled(system="x", inputs={"required": ["y"], "properties": {"y": {}}}), {}, 400, "prompt.variables"),
        (compiled(), {"prompt": {"variables": {"a": 1}}}, 400, "prompt.variables"),
        (compiled(system="x"), {"prompt": "text"}, 400, "prompt"),
        (compiled(system="x"), {"prompt": {"variables": [1]}}, 400, "prompt.variables"),
        (compiled(system="x"), {"messages": "hi"}, 400, "messages"),
        (compiled(template="{{ prompt }}"), {"messages": [{"role": "assistant", "content": "x"}]}, 400, "messages"),
        (
            compiled(template="{{ prompt }}"),
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            400,
            "messages[0].content",
        ),
        (
            compiled(system="{{ o.a }}", inputs={"properties": {"o": {"type": "object"}}, "required": ["o"]}),
            {"prompt": {"variables": {"o": {}}}},
            422,
            "prompt.variables",
        ),
    ],
)
def test_a_chat_request_that_does_not_fit_is_refused(revision: Compiled, body: dict[str, Any], status: int, param: str) -> None:
    with pytest.raises(Refusal) as caught:
        prompt.apply_chat(revision, {"messages": [{"role": "user", "content": "hi"}], **body})
    assert (caught.value.status, caught.value.param) == (status, param)


@pytest.mark.parametrize("given_prompt", [None, 5, [1, 2], [[1], [2]], [], {"variables": {}}, {"text": 5}])
def test_a_completion_without_text_cannot_be_wrapped(given_prompt: Any) -> None:
    with pytest.raises(Refusal) as caught:
        complete(compiled(template="{{ prompt }}"), given_prompt)
    assert caught.value.status == 400


def test_numbers_no_reader_agrees_on_are_refused() -> None:
    with pytest.raises(Refusal):
        prompt.encode({"seed": 2**70})
    assert json.loads(prompt.encode({"seed": 2**63 - 1})) == {"seed": 2**63 - 1}
