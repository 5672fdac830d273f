"""From a client's body to the engine's: one call that knows every public route."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import orjson

from llm_sidecar import generate, prompt, request
from llm_sidecar.compile import Compiled
from llm_sidecar.errors import Refusal
from llm_sidecar.http.routes import Route
from llm_sidecar.judging import Judging
from llm_sidecar.pipeline import Pipeline
from llm_sidecar.stream.answers import Usage, usage_in, usage_of
from llm_sidecar.stream.classic import Lines
from llm_sidecar.stream.guarded import Guarded
from llm_sidecar.stream.relay import Filter, Relay

_answer = msgspec.json.Decoder(dict[str, Any])


@dataclass(eq=False, slots=True)
class Prepared:
    """What goes to the engine, and how its answer comes back: ``stream`` makes the filter of one that comes in pieces.

    ``echo`` is set for the classic route only.
    """

    body: bytes
    stream: Callable[[], Filter]
    echo: str | None = None
    unknown_keys: int = 0


def prepare(
    route: Route, compiled: Compiled, served_name: str, body: bytes, fields: dict[str, Any] | None = None, *, changed: bool = False
) -> Prepared:
    """Check a body and apply the revision to it; where nothing changes it, the client's very bytes go on.

    ``fields`` is the body as the stages have left it, where there are some; ``changed`` says whether they changed it.
    """
    if route.kind == "generate":
        classic = generate.translate(compiled, served_name, prompt.encode(fields) if changed and fields is not None else body)
        echo = generate.echo_of(body) if changed else classic.echo
        return Prepared(classic.body, partial(Lines, echo, classic.choices), echo, classic.unknown_keys)
    seen = request.view(body, compiled.limits)
    if route.kind == "chat":
        ours = compiled.changes_requests or seen.prompt is not msgspec.UNSET
        apply = prompt.apply_chat
    else:
        ours = compiled.changes_requests or (isinstance(seen.prompt, msgspec.Raw) and bytes(seen.prompt)[:1] == b"{")
        apply = prompt.apply_completion
    if ours or changed:
        edited = request.whole(body) if fields is None else fields
        if apply(compiled, edited) or changed:
            body = prompt.encode(edited)
    return Prepared(body, partial(Relay, seen.usage_wish))


async def guarded(route: Route, compiled: Compiled, served_name: str, body: bytes, judging: Judging) -> Prepared:
    """Do the same for a revision with stages: they see what the client sent before the prompt is put around it."""
    pipeline = compiled.pipeline
    if pipeline is None:
        return prepare(route, compiled, served_name, body)
    fields = request.whole(body)
    if route.kind != "generate":  # which drops what it does not know
        if pipeline.hides:
            request.refuse_tokens(fields, pipeline.hides)
        if pipeline.answer is not None:
            request.refuse_formats(fields)
    changed = await judging.request(pipeline.request, fields, len(body))
    if pipeline.answer is not None and route.kind != "generate":
        fields["response_format"] = pipeline.answer.response_format
        changed = True
    prepared = prepare(route, compiled, served_name, body, fields, changed=changed)
    if pipeline.response:
        prepared.stream = partial(_guard, prepared.stream, pipeline, judging)
    return prepared


def _guard(stream: Callable[[], Filter], pipeline: Pipeline, judging: Judging) -> Filter:
    return Guarded(stream(), pipeline.response, judging)


async def checked(pipeline: Pipeline, judging: Judging, answer: bytes) -> tuple[bytes, Usage | None]:
    """Return a whole answer as the stages leave it with its usage, or raise Refusal; the engine's very bytes where they change nothing."""
    if not pipeline.response:
        return answer, usage_of(answer)
    try:
        body = _answer.decode(answer)
    except msgspec.DecodeError as error:
        raise Refusal(502, "engine_broken", f"the engine's answer cannot be read, so it cannot be checked: {error}") from error
    changed = await judging.answer(pipeline, body, len(answer))
    return orjson.dumps(body) if changed else answer, usage_in(body)
