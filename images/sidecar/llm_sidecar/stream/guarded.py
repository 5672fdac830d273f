"""A stream whose texts go through stages: one filter for each text of each choice, in front of whatever the stream is turned into.

Nearly every event of a stream that is redacted changes, since text is kept back and comes out one event later. So the text is cut out
of the event's bytes and another put in its place; parsing and writing the event anew, which costs several times as much, is for events
that are not as usual.
"""

from typing import Any

import msgspec
import orjson

from llm_sidecar.errors import Refusal
from llm_sidecar.judging import Judging
from llm_sidecar.pipeline import Step
from llm_sidecar.stages import Field
from llm_sidecar.stream.answers import Usage
from llm_sidecar.stream.chain import Chains
from llm_sidecar.stream.relay import Filter
from llm_sidecar.stream.scanner import Scanner, payload, split

CONTENT_FILTER = "content_filter"
"""Code of the refusal, and finish reason of the choices, of what must not be said."""

_DONE = b"[DONE]"


class _Function(msgspec.Struct, gc=False):
    arguments: str | None = None


class _Call(msgspec.Struct, gc=False):
    index: int = 0
    function: _Function | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    text: str | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Event(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None


_event = msgspec.json.Decoder(_Event)
_DELTA: dict[str, Field] = {"content": "content", "reasoning": "reasoning", "reasoning_content": "reasoning", "refusal": "other"}
_KEY = {name: b'"' + name.encode() + b'":' for name in (*_DELTA, "text")}


class Guarded:
    """Puts stages in front of another filter, which sees only what has passed them."""

    __slots__ = ("_chains", "_inner", "_judging", "_last", "_out", "_scanner", "_told")

    def __init__(self, inner: Filter, steps: tuple[Step, ...], judging: Judging) -> None:
        self._inner = inner
        self._judging = judging
        self._chains = Chains(steps, judging)
        self._scanner = Scanner()
        self._out: list[bytes] = []
        self._last = b""
        self._told = len(judging.bypassed)

    @property
    def done(self) -> bool:
        """Return whether the end mark was seen."""
        return self._inner.done

    @property
    def error(self) -> bool:
        """Return whether the engine reported an error."""
        return self._inner.error

    @property
    def usage(self) -> Usage | None:
        """Return the newest usage the engine reported."""
        return self._inner.usage

    def feed(self, data: bytes) -> bytes:
        """Return what can go to the client now; raises Refusal where the stream has to end."""
        for event in split(self._scanner.feed(data)):
            self._out.append(self._event(event))
        return self._pass_on()

    def finish(self) -> bytes:
        """Return what is left when the engine has ended its answer."""
        if self._scanner.rest.strip():
            self._out.append(self._event(self._scanner.rest + b"\n\n"))
        out = self._pass_on() + self._inner.finish()
        self._chains.count()
        return out

    def fail(self, refusal: Refusal) -> bytes:
        """Return what tells the client that the stream ends here and why."""
        out = self._pass_on()
        if refusal.code == CONTENT_FILTER and self._last:
            out += self._inner.feed(self._ended())
        self._chains.count()
        return out + self._inner.fail(refusal)

    def _pass_on(self) -> bytes:
        news = self._judging.bypassed[self._told :]
        if news:  # the headers are gone, so it is told in a comment, which clients skip
            self._told += len(news)
            self._out.append(f": x-llm-degraded: {', '.join(news)}\n\n".encode())
        out, self._out = b"".join(self._out), []
        return self._inner.feed(out) if out else b""

    def _event(self, event: bytes) -> bytes:
        data = payload(event).strip()
        if not data or data == _DONE:
            return self._leftover() + event if data else event
        try:
            choices = _event.decode(data).choices
        except msgspec.DecodeError as error:
            raise Refusal(502, "engine_broken", "an event of the engine's stream cannot be read, so it cannot be checked") from error
        if not choices:
            return event
        self._last = data
        if len(choices) == 1 and choices[0].finish_reason is None:
            only = _only_text(choices[0])
            if only is None:
                return self._rewritten(event, data)
            name, text = only
            if not text:
                return event
            changed = self._chains.feed(choices[0].index, name, _DELTA.get(name, "content"), text)
            return event if changed == text else _spliced(event, name, text, changed)
        return self._rewritten(event, data)

    def _rewritten(self, event: bytes, data: bytes) -> bytes:
        """Return an event that is parsed and written anew, or itself where nothing changes."""
        chunk: dict[str, Any] = msgspec.json.decode(data)
        changed = False
        for choice in chunk["choices"]:
            for name, field, holder, key in _texts(choice):
                text = self._chains.feed(choice["index"], name, field, holder[key])
                changed |= text != holder[key]
                holder[key] = text
            if choice.get("finish_reason") is not None:
                for name, rest in self._chains.finish(choice["index"]):
                    _append(choice, name, rest)
                    changed = True
        return b"data: " + orjson.dumps(chunk) + b"\n\n" if changed else event

    def _leftover(self) -> bytes:
        """Return an event with what was kept back of choices that never said that they are finished."""
        choices = []
        for index in self._chains.indexes:
            choice = self._choice(index, None)
            rests = self._chains.finish(index)
            for name, rest in rests:
                _append(choice, name, rest)
            choices += [choice] if rests else []
        return self._written(choices) if choices else b""

    def _ended(self) -> bytes:
        """Return an event that says of every choice why it has ended."""
        return self._written([self._choice(index, CONTENT_FILTER) for index in self._chains.indexes or [0]])

    def _choice(self, index: int, finish_reason: str | None) -> dict[str, Any]:
        said: dict[str, Any] = {"delta": {}} if b'"delta":' in self._last else {"text": ""}
        return {"index": index, **said, "logprobs": None, "finish_reason": finish_reason}

    def _written(self, choices: list[dict[str, Any]]) -> bytes:
        chunk = {**msgspec.json.decode(self._last), "choices": choices}
        chunk.pop("usage", None)
        return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _only_text(choice: _Choice) -> tuple[str, str] | None:
    """Return name and value of the one text of a choice; nothing where there are more, and no text where there is none."""
    delta = choice.delta
    if delta is None:
        return "text", choice.text or ""
    if delta.tool_calls is not None or choice.text is not None:
        return None
    content = delta.content
    if delta.reasoning is None and delta.reasoning_content is None and delta.refusal is None:
        return "content", content or ""
    if content or delta.refusal or (delta.reasoning and delta.reasoning_content):
        return None
    return ("reasoning", delta.reasoning) if delta.reasoning else ("reasoning_content", delta.reasoning_content or "")


def _spliced(event: bytes, name: str, text: str, changed: str) -> bytes:
    """Return an event with another text in the place of its only one."""
    key = _KEY[name]
    old = key + msgspec.json.encode(text)
    at = event.find(old)
    # A quote inside a text is escaped, so the bytes of the key are no part of one.
    if at >= 0 and event.count(key) == 1:
        return b"%b%b%b%b" % (event[:at], key, msgspec.json.encode(changed), event[at + len(old) :])
    chunk = msgspec.json.decode(payload(event))
    choice = chunk["choices"][0]
    (choice if name == "text" else choice["delta"])[name] = changed
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _texts(choice: dict[str, Any]) -> list[tuple[str, Field, dict[str, Any], str]]:
    """Return every text of a choice: its name in the stream, what it is, and where."""
    found: list[tuple[str, Field, dict[str, Any], str]] = []
    if choice.get("text"):
        found.append(("text", "content", choice, "text"))
    delta = choice.get("delta") or {}
    found += ((name, field, delta, name) for name, field in _DELTA.items() if delta.get(name))
    for call in delta.get("tool_calls") or ():
        function = call.get("function") or {}
        if function.get("arguments"):
            found.append((f"tool_calls[{call.get('index', 0)}]", "arguments", function, "arguments"))
    return found


def _append(choice: dict[str, Any], name: str, rest: str) -> None:
    """Put what was kept back of a text behind what a choice says of it."""
    if name == "text":
        choice["text"] = (choice.get("text") or "") + rest
        return
    delta = choice.setdefault("delta", {})
    if name in _DELTA:
        delta[name] = (delta.get(name) or "") + rest
        return
    index = int(name.removeprefix("tool_calls[").removesuffix("]"))
    for call in delta.setdefault("tool_calls", []):
        if call.get("index", 0) == index and "function" in call:
            call["function"]["arguments"] = (call["function"].get("arguments") or "") + rest
            return
    delta["tool_calls"].append({"index": index, "function": {"arguments": rest}})
