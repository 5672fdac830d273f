"""Requests of which each is one of a few questions, whole or streamed; some clients leave before the answer is complete."""

import asyncio
import itertools
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

from tests.e2e.traffic import Seen
from tests.fakes.stub_engine.answer import HASH_LENGTH, Text

QUESTIONS = 200
LEAVES = 0.1
"""The part of clients that leave, within a second of asking."""

_TOKENS = (4, 10, 4, 20, 4, 40, 4, 60)
"""Answers of odd questions are streamed; they are long."""

_DECLARED = {429, 503}
_WITH_THE_ENGINE = {"engine_lost", "engine_broken", "engine_aborted"}


@dataclass(frozen=True)
class Lost:
    """A request that an engine took along when it went: when it was there, and what the client was told."""

    began: float
    ended: float
    code: str


@dataclass
class Asking:
    """Asks one sidecar; ``seen`` judges answers, ``lost`` are those that ended as is documented for an engine that goes."""

    url: str
    key: str
    model: str
    seen: Seen = field(default_factory=Seen)
    lost: list[Lost] = field(default_factory=list)
    left: int = 0
    whole: int = 0

    async def __aenter__(self) -> Self:
        self._dice = random.Random(0)  # noqa: S311  # the same clients leave in every run
        self._numbers = itertools.count()
        headers = {"authorization": f"Bearer {self.key}"}
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(headers=headers, connector=connector, timeout=aiohttp.ClientTimeout(total=180))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def capacity(self, clients: int, for_s: float) -> float:
        """Return how many answers a second come when so many clients ask one question after the other."""
        end = time.monotonic() + for_s

        async def ask_on() -> None:
            while time.monotonic() < end:
                await self._ask(next(self._numbers))

        asking = [asyncio.create_task(ask_on()) for _ in range(clients)]
        await asyncio.sleep(for_s / 4)  # until the first have been answered
        began, before = time.monotonic(), self.whole
        await asyncio.sleep(for_s / 2)
        rps = (self.whole - before) / (time.monotonic() - began)
        await asyncio.gather(*asking)
        return rps

    async def steadily(self, rps: float, for_s: float) -> None:
        """Ask on time whatever the answers take, and wait for the last of them."""
        start, asked = time.monotonic(), set[asyncio.Task[None]]()
        for number in range(int(rps * for_s)):
            await asyncio.sleep(max(0.0, start + number / rps - time.monotonic()))
            task = asyncio.create_task(self._ask(next(self._numbers), may_leave=True))
            asked.add(task)
            task.add_done_callback(asked.discard)
        await asyncio.gather(*asked)

    async def _ask(self, number: int, *, may_leave: bool = False) -> None:
        self.seen.sent += 1
        leaves_s = self._dice.random() if may_leave and self._dice.random() < LEAVES else None
        question, began = number % QUESTIONS, time.monotonic()
        try:
            async with asyncio.timeout(leaves_s):
                await self._answer(question, began)
        except TimeoutError:
            if leaves_s is None:
                self.seen.failures.append(f"question {question}: no answer in time")
            self.left += 1
        except (aiohttp.ClientError, OSError, ValueError, LookupError) as error:
            self.seen.failures.append(f"question {question}: {type(error).__name__}: {error}")

    async def _answer(self, question: int, began: float) -> None:
        tokens, stream = _TOKENS[question % len(_TOKENS)], bool(question % 2)
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": f"question {question}"}],
            "max_tokens": tokens,
            "ignore_eos": True,
            "stream": stream,
        }
        async with self._session.post(self.url, json=body) as answer:
            data, revision = await answer.read(), answer.headers.get("x-llm-revision", "")
            if answer.status != 200:
                self._refused(answer, data, began)
            elif stream:
                self._judge_stream(question, revision, tokens, data, began)
            else:
                choice = json.loads(data)["choices"][0]
                self._judge(question, revision, tokens, choice["message"]["content"], choice["finish_reason"])

    def _judge_stream(self, question: int, revision: str, tokens: int, data: bytes, began: float) -> None:
        self.seen.streams += 1
        *events, last = [line.removeprefix("data: ") for line in data.decode().split("\n\n") if line]
        chunks = [json.loads(event) for event in events]
        if last != "[DONE]":
            self.seen.failures.append(f"question {question}: a stream without [DONE] after {len(events)} events")
        elif chunks and "error" in chunks[-1]:
            self._ended(chunks[-1]["error"]["code"], began, f"question {question}: {chunks[-1]}")
        else:
            choices = [choice for chunk in chunks for choice in chunk["choices"]]
            text = "".join(choice["delta"].get("content") or "" for choice in choices)
            self._judge(question, revision, tokens, text, choices[-1]["finish_reason"])

    def _judge(self, question: int, revision: str, tokens: int, text: str, finish: str | None) -> None:
        told = text[:HASH_LENGTH]
        if finish != "length" or text != Text(told, 0).span(0, tokens):
            self.seen.failures.append(f"question {question} of {revision}: {finish}, not the text of its {tokens} tokens: {text[-200:]!r}")
            return
        self.whole += 1
        self.seen.bodies.setdefault((f"question {question}", revision), set()).add(told)
        self.seen.revisions[revision] += 1

    def _refused(self, answer: aiohttp.ClientResponse, data: bytes, began: float) -> None:
        if answer.status in _DECLARED and "retry-after" in answer.headers:
            self.seen.declared.append(f"{answer.status}: {data[:300]!r}")
        else:
            self._ended(json.loads(data)["error"]["code"], began, f"{answer.status}: {data[:300]!r}")

    def _ended(self, code: str, began: float, what: str) -> None:
        if code in _WITH_THE_ENGINE:
            self.lost.append(Lost(began, time.monotonic(), code))
        else:
            self.seen.failures.append(what)
