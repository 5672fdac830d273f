"""From a client's body to the engine's, and from the engine's answer to the client's: calls that know every public route."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from llm_sidecar import generate, prompt, request, texts
from llm_sidecar.compile import Compiled
from llm_sidecar.engine import answers
from llm_sidecar.errors import given_up
from llm_sidecar.http.routes import Route
from llm_sidecar.judging import Judging
from llm_sidecar.stream import classic
from llm_sidecar.stream.answers import Ended, Usage, account_of, read_usage
from llm_sidecar.stream.guarded import Guarded
from llm_sidecar.stream.relay import Filter, Relay, Wish
from llm_sidecar.texts import Text

_OK = 200


@dataclass(eq=False, slots=True)
class Prepared:
    """What goes to the engine, and what its answer has to go through. ``echo`` and ``choices`` are of the classic route only."""

    body: bytes
    wish: Wish = Wish.NOTHING
    echo: str | None = None
    choices: int = 0
    unknown_keys: int = 0

    def stream(self, compiled: Compiled, judging: Judging | None) -> Filter:
        """Return the filter of an answer that comes in pieces."""
        made: Filter = Relay(self.wish) if self.echo is None else classic.Lines(self.echo, self.choices)
        pipeline = compiled.pipeline
        return Guarded(made, pipeline.response, judging) if judging is not None and pipeline is not None and pipeline.response else made


def prepare(
    route: Route, compiled: Compiled, served_name: str, body: bytes, fields: dict[str, Any] | None = None, *, changed: bool = False
) -> Prepared:
    """Check a body and apply the revision to it; where nothing changes it, the client's very bytes go on.

    ``fields`` is the body as the stages have left it, where there are some; ``changed`` says whether they changed it.
    """
    if route.kind == "generate":
        old = generate.translate(compiled, served_name, prompt.encode(fields) if changed and fields is not None else body)
        echo = generate.echo_of(body) if changed else old.echo
        return Prepared(old.body, echo=echo, choices=old.choices, unknown_keys=old.unknown_keys)
    is_chat = route.kind == "chat"
    seen: request.Seen
    if fields is None:
        seen = view = request.view(body, compiled.limits)
        ours = view.prompt is not msgspec.UNSET if is_chat else bytes(view.prompt or b"")[:1] == b"{"
    else:
        seen = request.look(fields, compiled.limits)
        ours = "prompt" in fields if is_chat else isinstance(fields.get("prompt"), dict)
    if ours or changed or compiled.changes_requests:
        edited = request.whole(body) if fields is None else fields
        apply = prompt.apply_chat if is_chat else prompt.apply_completion
        if apply(compiled, edited) or changed:
            body = prompt.encode(edited)
    return Prepared(body, seen.usage_wish)


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
    return prepare(route, compiled, served_name, body, fields, changed=changed)


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
    if judging is not None and compiled.pipeline is not None and compiled.pipeline.response:
        seen = texts.read_answer(body)
        _check_end(seen.choices)
        usage = read_usage(seen.usage)
        found = texts.of_answer(seen)
        if await judging.answer(compiled.pipeline, found, len(body)):
            body = _written(body, found)
    else:
        account = account_of(body)
        _check_end(account.choices)
        usage = account.usage
    if echo is None:
        return Answered(_OK, body, usage)
    try:
        return Answered(_OK, *classic.unary(echo, body))
    except msgspec.DecodeError as error:
        raise answers.broken(f"the engine's answer is not a completion: {error}") from error


def _check_end(choices: Sequence[Ended]) -> None:
    """Raise Refusal for an answer that the engine has cut short."""
    if any(choice.finish_reason == "abort" for choice in choices):
        raise given_up()


def _written(answer: bytes, found: Sequence[Text]) -> bytes:
    fields = msgspec.json.decode(answer)
    for text in found:
        text.write(fields)
    return orjson.dumps(fields)
