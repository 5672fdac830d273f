from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.running import RunningStub, running_stub

if TYPE_CHECKING:
    from openai import AsyncOpenAI


@pytest.fixture
async def stub() -> AsyncIterator[RunningStub]:
    """A stub engine called `chat` that answers at once and always says its usage."""
    async with running_stub("--enable-force-include-usage") as running:
        yield running


@pytest.fixture
async def client(openai: Any, stub: RunningStub) -> AsyncIterator["AsyncOpenAI"]:
    """The official client, talking to the stub."""
    async with openai.AsyncOpenAI(base_url=f"{stub.url}/v1", api_key="none", max_retries=0, timeout=20) as connected:
        yield connected
