"""Before anything is measured: each way to the engine does what it is there for."""

import urllib.request
from typing import Any

import orjson

from bench.sidecar.payload import KEY, Payload
from bench.sidecar.snapshot import Rendered

_BUNDLE = "bundle-"


def check_passes(port: int, payload: Payload) -> None:
    """Assert that a proxy hands on a body and an answer as they are."""
    echo = payload.request(user="echo")
    assert _post(port, echo) == echo, "the request did not reach the engine as it was sent"
    assert _post(port, payload.request()) == payload.answer, "the answer is not the engine's"


def check_applies(port: int, payload: Payload, rendered: Rendered) -> None:
    """Assert that a sidecar applies its bundle to a request, and leaves an answer alone that has nothing forbidden in it."""
    echo = payload.request(user="echo")
    got = orjson.loads(_post(port, echo))
    prompt = _bundle(rendered)["prompt"]
    if "system" in prompt:
        assert got["messages"][0] == {"role": "system", "content": prompt["system"]}, "the prompt is not in front of the request"
    assert got["messages"][-1] == orjson.loads(echo)["messages"][-1], "the client's message was changed"
    assert _post(port, payload.request()) == payload.answer, "the answer is not the engine's"


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
