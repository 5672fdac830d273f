"""How many requests wait in the entry of one deployment, asked again and again."""

import asyncio
from dataclasses import dataclass
from typing import Self

import aiohttp

from tests.e2e import kit
from tests.e2e.background import Background
from tests.lab.wait import until

_EVERY_S = 0.2


@dataclass
class Waiting:
    """Asks between entering and leaving the context; ``peak`` is the most that an answer told."""

    name: str
    namespace: str
    peak: int = 0

    def __enter__(self) -> Self:
        selector = f"llmops.dev/deployment={self.name},llmops.dev/role=entry"
        entry = until(
            lambda: next(filter(kit.is_ready, kit.items("pods", self.namespace, selector)), None), timeout_s=60, what="the entry ready"
        )
        self._background = Background().__enter__()
        self._asking = self._background.start(self._ask(entry["status"]["podIP"]))
        return self

    def __exit__(self, *_: object) -> None:
        failed = self._asking.exception() if self._asking.done() else None
        self._background.__exit__()
        print(f"{self.name}: {self.peak} requests waiting at most")  # noqa: T201  # a figure of the suite
        assert failed is None, f"the entry could not be asked: {failed!r}"

    async def _ask(self, address: str) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            while True:
                async with session.get(f"http://{address}:9090/status") as answer:
                    self.peak = max(self.peak, (await answer.json())["held"])
                await asyncio.sleep(_EVERY_S)
