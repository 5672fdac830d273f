"""An engine that keeps requests waiting for as long as a test wants."""

import asyncio

from tests.unit.sidecar.support.engine import Request, completion, http
from tests.unit.sidecar.support.eventually import eventually


class Gate:
    """A script that holds requests until it is opened, and answers then; ``sizes`` are those of their bodies."""

    def __init__(self, *text: str) -> None:
        self.open = asyncio.Event()
        self.sizes: list[int] = []
        self._answer = http(completion(*text))

    @property
    def waiting(self) -> int:
        """Return how many requests have come."""
        return len(self.sizes)

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.sizes.append(len(request.body))
        await self.open.wait()
        writer.write(self._answer)

    async def until_waiting(self, count: int) -> None:
        await eventually(lambda: self.waiting >= count, f"{count} requests at the engine")
