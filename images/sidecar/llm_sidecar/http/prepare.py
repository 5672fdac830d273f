"""From a client's body to the engine's: one call that knows every public route."""

from dataclasses import dataclass

import msgspec

from llm_sidecar import generate, prompt, request
from llm_sidecar.compile import Compiled
from llm_sidecar.http.routes import Route
from llm_sidecar.stream.classic import Lines
from llm_sidecar.stream.relay import Filter, Relay


@dataclass(frozen=True, slots=True)
class Prepared:
    """What goes to the engine, and how its answer comes back. ``echo`` is set for the classic route only."""

    body: bytes
    stream: Filter
    echo: str | None = None
    unknown_keys: int = 0


def prepare(route: Route, compiled: Compiled, served_name: str, body: bytes) -> Prepared:
    """Check a body and apply the revision to it; where nothing changes it, the client's very bytes go on."""
    if route.kind == "generate":
        classic = generate.translate(compiled, served_name, body)
        return Prepared(classic.body, Lines(classic.echo, classic.choices), classic.echo, classic.unknown_keys)
    seen = request.view(body)
    if route.kind == "chat":
        ours = compiled.changes_requests or seen.prompt is not msgspec.UNSET
        apply = prompt.apply_chat
    else:
        ours = compiled.changes_requests or (isinstance(seen.prompt, msgspec.Raw) and bytes(seen.prompt)[:1] == b"{")
        apply = prompt.apply_completion
    if ours:
        fields = request.whole(body)
        if apply(compiled, fields):
            body = prompt.encode(fields)
    return Prepared(body, Relay(seen.usage_wish))
