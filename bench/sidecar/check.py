"""Before anything is measured: each way to the engine does what it is there for."""

import urllib.request
from typing import Any

import orjson

from bench.sidecar.payload import KEY, Payload
from bench.sidecar.snapshot import Rendered

_BUNDLE = "bundle-"
_MAIL, _HIDDEN = "Write to jane@example.com today.", "Write to <email> today."


def check_passes(port: int, payload: Payload) -> None:
    """Assert that a proxy hands on a body and an answer as they are."""
    echo = payload.request(user="echo")
    assert _post(port, echo) == echo, "the request did not reach the engine as it was sent"
    assert _post(port, payload.request()) == payload.answer, "the answer is not the engine's"


def check_applies(port: int, payload: Payload, rendered: Rendered) -> None:
    """Assert that a sidecar applies its bundle both ways, and leaves an answer alone that has nothing forbidden in it."""
    bundle = _bundle(rendered)
    answered = {"choices": [{"index": 0, "message": {"role": "assistant", "content": _MAIL}}]}
    got = orjson.loads(_post(port, payload.request(user="echo", messages=[{"role": "user", "content": _MAIL}], **answered)))
    system, asked = got["messages"]
    assert system == {"role": "system", "content": _system(bundle["prompt"])}, "the prompt is not in front of the request"
    for way, text in (("request", asked["content"]), ("response", got["choices"][0]["message"]["content"])):
        hides = any("email" in stage.get("entities", ()) for stage in bundle.get("pipeline", {}).get(way, ()))
        assert text == (_HIDDEN if hides else _MAIL), f"the {way} is not what the stages make of it"
    assert _post(port, payload.request()) == payload.answer, "the answer is not the engine's"


def _system(prompt: dict[str, Any]) -> str:
    """Return the system prompt of a request that supplies no variables."""
    text = str(prompt["system"])
    for name, variable in prompt.get("inputs", {}).get("properties", {}).items():
        text = text.replace(f"{{{{ {name} }}}}", variable["default"])
    return text


def _bundle(rendered: Rendered) -> dict[str, Any]:
    (name,) = (each for each in rendered.files if each.startswith(_BUNDLE))
    bundle: dict[str, Any] = orjson.loads(rendered.files[name])
    return bundle


def _post(port: int, body: bytes) -> bytes:
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", body, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # our own address
        assert answer.status == 200, answer.status
        return bytes(answer.read())
