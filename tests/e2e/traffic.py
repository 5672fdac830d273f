"""Requests at a steady rate and a number of streams that are always open, each answer read to its end and judged."""

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

from tests.e2e.background import Background
from tests.fakes.stub_engine.answer import HASH_LENGTH, Text

STREAM_S = (5, 8, 12, 20)
"""How long streams take; which one comes next is drawn."""

_UNARY_TOKENS = 4
_STREAM = {"stream": True, "stream_options": {"include_usage": True}}
_DECLARED = {429, 503}
_SECONDS = aiohttp.ClientTimeout(total=180, sock_read=120)


@dataclass
class Seen:
    """What the traffic got. ``failures`` is everything that was not a whole answer; 429 and 503 with Retry-After stand apart."""

    sent: int = 0
    streams: int = 0
    failures: list[str] = field(default_factory=list)
    declared: list[str] = field(default_factory=list)
    revisions: Counter[str] = field(default_factory=Counter)
    first_event_s: list[float] = field(default_factory=list)
    """How long each stream waited for its first event."""
    refused_connections: int = 0
    """How often nobody took a connection, of traffic that then asks again."""
    bodies: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """For each kind of request and revision, the hashes of what engines were sent: one, or a revision was answered by another's bundle."""

    def torn(self) -> list[str]:
        """Return where one revision had two bodies."""
        return [f"{kind} of {revision}: {hashes}" for (kind, revision), hashes in self.bodies.items() if len(hashes) != 1]

    def mixed(self) -> list[str]:
        """Return where one revision had two bodies, or two revisions, whose prompts differ, had one."""
        kinds: dict[str, list[str]] = {}
        for (kind, _), hashes in self.bodies.items():
            kinds.setdefault(kind, []).extend(hashes)
        return self.torn() + [f"{kind}: {Counter(hashes)}" for kind, hashes in kinds.items() if len(set(hashes)) != len(hashes)]

    def told(self) -> str:
        """Return the figures as one line."""
        return (
            f"{self.sent} requests, {self.streams} streams, {len(self.failures)} failed, {len(self.declared)} declared 429/503, "
            f"answered by {dict(self.revisions)}"
        )


@dataclass
class Traffic:
    """Traffic between entering and leaving the context; leaving waits for the streams that are open.

    An answer of an engine that is no stub (``stub=False``) is whole when that engine has counted all its tokens.
    Half of the requests come over connections that are kept, half over new ones: a pod that leaves must not break either.
    """

    host: str
    model: str
    rps: float = 20
    streams: int = 30
    tokens_per_s: float = 10
    stream_s: tuple[int, ...] = STREAM_S
    stub: bool = True
    connects_again_after_s: tuple[float, ...] = ()
    """Pauses before a request that nobody took is sent again: it has reached no pod, so that it is not the pod that lost it."""
    seen: Seen = field(default_factory=Seen)
    _ending: bool = False

    def __enter__(self) -> Self:
        self._background = Background().__enter__()
        self._background.run(self._open(), timeout_s=60)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._background.run(self._close(), timeout_s=240)
        finally:
            self._background.__exit__()
        print(f"{self.model}: {self.seen.told()}")  # noqa: T201  # figures of the suite are part of its output

    def hold(self, streams: int) -> None:
        """Keep that many streams open from now on; those that are too many end by themselves."""
        self._background.run(self._hold(streams), timeout_s=10)

    async def _hold(self, streams: int) -> None:
        more = range(self.streams, streams)
        self.streams = streams
        self._tasks += [asyncio.create_task(self._stream_on(each)) for each in more]

    async def _open(self) -> None:
        self._kept = aiohttp.ClientSession(timeout=_SECONDS)
        self._fresh = aiohttp.ClientSession(timeout=_SECONDS, connector=aiohttp.TCPConnector(force_close=True, limit=0))
        self._first = asyncio.Event()
        self._tasks = [asyncio.create_task(self._pace()), *(asyncio.create_task(self._stream_on(each)) for each in range(self.streams))]
        if self.streams:
            await asyncio.wait_for(self._first.wait(), 60)

    async def _close(self) -> None:
        self._ending = True
        try:
            await asyncio.gather(*self._tasks)
        finally:
            await self._kept.close()
            await self._fresh.close()

    async def _pace(self) -> None:
        """Send on time whatever the answers take: a slow answer is no reason for less load."""
        loop = asyncio.get_running_loop()
        start, asked = loop.time(), []
        for number in itertools.count():
            await asyncio.sleep(max(0.0, start + number / self.rps - loop.time()))
            if self._ending:
                break
            asked.append(asyncio.create_task(self._ask(self._kept if number % 2 else self._fresh)))
        await asyncio.gather(*asked)

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        self.seen.sent += 1
        try:
            async with await self._post(session, self._body(_UNARY_TOKENS)) as answer:
                data = await answer.read()
                if answer.status != 200:
                    self._refused(answer, data)
                    return
                said = json.loads(data)
                choice = said["choices"][0]
                self._judge("unary", answer, _UNARY_TOKENS, choice["message"]["content"], choice["finish_reason"], said["usage"])
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, LookupError) as error:
            self.seen.failures.append(f"request: {type(error).__name__}: {error}")

    async def _post(self, session: aiohttp.ClientSession, body: Mapping[str, Any]) -> aiohttp.ClientResponse:
        for pause_s in self.connects_again_after_s:
            try:
                return await session.post(self._url, json=body)
            except aiohttp.ClientConnectorError:
                self.seen.refused_connections += 1
                await asyncio.sleep(pause_s)
        return await session.post(self._url, json=body)

    async def _stream_on(self, number: int) -> None:
        drawn = random.Random(number)  # noqa: S311  # the same lengths in every run
        await asyncio.sleep(number * 0.05)
        while not self._ending and number < self.streams:
            await self._stream(int(drawn.choice(self.stream_s) * self.tokens_per_s))

    async def _stream(self, tokens: int) -> None:
        self.seen.streams += 1
        events: list[str] = []
        began = asyncio.get_running_loop().time()
        try:
            async with await self._post(self._fresh, self._body(tokens) | _STREAM) as answer:
                if answer.status != 200:
                    self._refused(answer, await answer.read())
                    await asyncio.sleep(0.2)
                    return
                async for line in answer.content:
                    if line.startswith(b"data: "):
                        if not events:
                            self.seen.first_event_s.append(asyncio.get_running_loop().time() - began)
                        events.append(line[6:].decode().strip())
                        self._first.set()
                self._judge_stream(answer, tokens, events)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, LookupError) as error:
            self.seen.failures.append(f"stream after {len(events)} events: {type(error).__name__}: {error}")
            await asyncio.sleep(0.2)

    def _judge_stream(self, answer: aiohttp.ClientResponse, tokens: int, events: list[str]) -> None:
        if not events or events[-1] != "[DONE]":
            self.seen.failures.append(f"stream without [DONE] after {len(events)} events, the last {events[-1:]}")
            return
        chunks = [json.loads(event) for event in events[:-1]]
        if errors := [chunk for chunk in chunks if "error" in chunk]:
            self.seen.failures.append(f"stream with an error: {errors[0]}")
            return
        choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
        self._judge(f"stream of {tokens}", answer, tokens, text, choices[-1]["finish_reason"], chunks[-1]["usage"])

    def _judge(
        self, kind: str, answer: aiohttp.ClientResponse, tokens: int, text: str, finish: str | None, usage: Mapping[str, int]
    ) -> None:
        """Count an answer as whole only if it ended by itself and has every token; a stub's text tells which, and of which request."""
        revision = answer.headers.get("x-llm-revision", "")
        if finish not in {"length", "stop"}:
            self.seen.failures.append(f"{kind}: finish_reason {finish}")
            return
        if usage["completion_tokens"] != tokens:
            self.seen.failures.append(f"{kind} of {revision}: {usage['completion_tokens']} tokens of {tokens}")
            return
        if self.stub:
            told = text[:HASH_LENGTH]
            if text != Text(told, 0).span(0, tokens):
                self.seen.failures.append(f"{kind} of {revision}: not the text of its {tokens} tokens: {text[-200:]!r}")
                return
            self.seen.bodies.setdefault((kind, revision), set()).add(told)
        self.seen.revisions[revision] += 1

    def _refused(self, answer: aiohttp.ClientResponse, data: bytes) -> None:
        is_declared = answer.status in _DECLARED and "retry-after" in answer.headers
        revision = answer.headers.get("x-llm-revision", "")
        (self.seen.declared if is_declared else self.seen.failures).append(f"{answer.status} of {revision}: {data[:300]!r}")

    @property
    def _url(self) -> str:
        return f"http://{self.host}:8080/v1/chat/completions"

    def _body(self, tokens: int) -> dict[str, Any]:
        messages = [{"role": "user", "content": "what is it?"}]
        return {"model": self.model, "messages": messages, "max_tokens": tokens, "ignore_eos": True}
