"""The classic request, read strictly."""

import json
from decimal import Decimal
from typing import Any

import pytest

from llm_sidecar.bundle import Bundle, Prompt, Sampling
from llm_sidecar.compile import Compiled, compile_bundle
from llm_sidecar.errors import Refusal
from llm_sidecar.generate import DEFAULTS, Translated, translate


def call(body: Any, bundle: Bundle | None = None) -> Translated:
    compiled: Compiled = compile_bundle(bundle or Bundle())
    return translate(compiled, "chat", body if isinstance(body, bytes) else json.dumps(body).encode())


def test_defaults_are_those_of_the_old_server() -> None:
    translated = call({"prompt": "p"})
    assert json.loads(translated.body) == {"model": "chat", "prompt": "p", "stream": False, **DEFAULTS}
    assert (translated.echo, translated.choices, translated.stream, translated.unknown_keys) == ("p", 1, False, 0)


def test_the_client_wins_over_the_revision_and_the_revision_over_the_old_defaults() -> None:
    bundle = Bundle(sampling=Sampling(temperature=Decimal("0.5"), max_tokens=99))
    sent = json.loads(call({"prompt": "p", "temperature": 0.1, "top_p": None}, bundle).body)
    assert (sent["temperature"], sent["max_tokens"], sent["top_p"]) == (0.1, 99, 1.0)


def test_the_prompt_is_wrapped_and_the_clients_own_is_echoed() -> None:
    bundle = Bundle(prompt=Prompt(template="<{{ v }}:{{ prompt }}>", inputs={"properties": {"v": {"default": "a"}}}))
    translated = call({"prompt": {"text": "p", "variables": {"v": "b"}}}, bundle)
    assert json.loads(translated.body)["prompt"] == "<b:p>"
    assert translated.echo == "p"


def test_unknown_keys_are_dropped_and_counted() -> None:
    translated = call({"prompt": "p", "use_beam_search": False, "model": "other", "n": 2, "stop": "x"})
    sent = json.loads(translated.body)
    assert translated.unknown_keys == 2
    assert "use_beam_search" not in sent
    assert (sent["model"], sent["n"], sent["stop"], translated.choices) == ("chat", 2, "x", 2)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"{", "invalid_json", None),
        (b"\xff", "invalid_json", None),
        (b"[" * 5000 + b"]" * 5000, None, None),
        ([], "invalid_type", None),
        ({}, "invalid_type", None),
        ({"prompt": 5}, "invalid_type", "prompt"),
        ({"prompt": {"variables": {}}}, "invalid_type", "prompt"),
        ({"prompt": "p", "max_tokens": "many"}, "invalid_type", "max_tokens"),
        ({"prompt": "p", "temperature": "hot"}, "invalid_type", "temperature"),
        ({"prompt": "p", "n": 0}, "invalid_type", "n"),
        ({"prompt": "p", "stop": [1]}, "invalid_type", "stop[0]"),
        ({"prompt": "p", "stream": "yes"}, "invalid_type", "stream"),
        ({"prompt": "p", "prompt_embeds": "x"}, "field_not_allowed", "prompt_embeds"),
        ({"prompt": "p", "logits_processors": []}, "field_not_allowed", "logits_processors"),
        ({"prompt": {"text": "p", "variables": {"a": 1}}}, "unknown_variable", "prompt.variables"),
    ],
)
def test_what_the_old_server_failed_on_gets_400(body: Any, code: str | None, param: str | None) -> None:
    with pytest.raises(Refusal) as caught:
        call(body)
    assert caught.value.status == 400
    assert code is None or caught.value.code == code
    assert caught.value.param == param
