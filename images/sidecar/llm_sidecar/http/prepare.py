"""From a client's body to the engine's, and from the engine's answer to the client's: calls that know every public route."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import orjson

from llm_sidecar import generate, prompt, request
from llm_sidecar.compile import Compiled
from llm_sidecar.engine import answers
from llm_sidecar.errors import Refusal
from llm_sidecar.http.routes import Route
from llm_sidecar.judging import Judging
from llm_sidecar.pipeline import Pipeline
from llm_sidecar.stream import classic
from llm_sidecar.stream.answers import Usage, usage_in, usage_of
from llm_sidecar.stream.guarded import Guarded
from llm_sidecar.stream.relay import Filter, Relay, aborted

_OK = 200
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
        old = generate.translate(compiled, served_name, prompt.encode(fields) if changed and fields is not None else body)
        echo = generate.echo_of(body) if changed else old.echo
        return Prepared(old.body, partial(classic.Lines, echo, old.choices), echo, old.unknown_keys)
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


@dataclass(slots=True)
class Answered:
    """A whole answer as the client gets it, with the usage in it."""

    status: int
    body: bytes
    usage: Usage | None = None


async def answered(route: Route, compiled: Compiled, judging: Judging | None, echo: str | None, status: int, body: bytes) -> Answered:
    """Return what a client gets for a whole answer of the engine, or raise Refusal; the engine's very bytes where no stage changes them."""
    if status != _OK:
        if answers.stopping(body):
            raise answers.stopped()
        return Answered(*answers.normalise(status, body, route.text, prompted=compiled.prompt is not None))
    if aborted(body):
        raise Refusal(503, "engine_aborted", "the engine gave this request up before its answer was complete", retry_after_s=1)
    usage: Usage | None = None
    if judging is not None and compiled.pipeline is not None and compiled.pipeline.response:
        fields = _read(body)
        if await judging.answer(compiled.pipeline, fields, len(body)):
            body = orjson.dumps(fields)
        usage = usage_in(fields)
    elif echo is None:
        usage = usage_of(body)
    if echo is None:
        return Answered(_OK, body, usage)
    try:
        return Answered(_OK, *classic.unary(echo, body))
    except msgspec.DecodeError as error:
        raise answers.broken(f"the engine's answer is not a completion: {error}") from error


def _read(answer: bytes) -> dict[str, Any]:
    try:
        return _answer.decode(answer)
    except msgspec.DecodeError as error:
        raise Refusal(502, "engine_broken", f"the engine's answer cannot be read, so it cannot be checked: {error}") from error
