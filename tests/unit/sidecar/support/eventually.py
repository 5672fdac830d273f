"""Waiting inside the loop for what another task brings about."""

import asyncio
from collections.abc import Callable


async def eventually(condition: Callable[[], object], what: str, timeout_s: float = 10.0) -> None:
    """Let the loop run until a condition holds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while not condition():
        assert loop.time() < end, f"gave up waiting for {what}"
        await asyncio.sleep(0.01)
