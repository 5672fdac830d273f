"""One event loop in a thread of its own: what loads and watches a deployment while a test, which is plain code, changes it."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")


class Background:
    """Runs coroutines beside the test; leaving the context cancels those that still run."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="background", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T], *, timeout_s: float) -> T:
        """Wait for a coroutine's result."""
        return self.start(work).result(timeout_s)

    def start(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Let a coroutine run beside the test."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)


async def _cancel_all() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0.25)  # a TLS connection says goodbye only after its session is closed
