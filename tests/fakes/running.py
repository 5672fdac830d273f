"""A stub engine inside the test's own event loop, for tests that need no process of their own for it."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.fakes.stub_engine.faults import Faults
from tests.fakes.stub_engine.options import parse
from tests.fakes.stub_engine.server import Stub

FAST = {"STUB_TOKENS_PER_S": "0", "STUB_TTFT_S": "0"}


class RunningStub:
    """A stub that listens."""

    def __init__(self, stub: Stub) -> None:
        self.stub = stub

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.stub.port}"

    def switch(self, **changes: Any) -> None:
        """Switch all faults off, then some on, as POST /-/faults would."""
        self.stub.faults.now = Faults().changed(changes)


@asynccontextmanager
async def running_stub(
    *arguments: str, env: Mapping[str, str] = FAST, faults: Mapping[str, Any] | None = None
) -> AsyncIterator[RunningStub]:
    """Run a stub with vLLM flags and STUB_* variables while the context lasts; without ``env`` it answers at once."""
    given = dict(env) | ({"STUB_FAULTS": json.dumps(dict(faults))} if faults else {})
    options = parse(["--host", "127.0.0.1", "--port", "0", "--served-model-name", "chat", *arguments], given)
    stub = Stub(options, given)
    await stub.start()
    try:
        yield RunningStub(stub)
    finally:
        await stub.close()
