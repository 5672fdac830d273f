"""What a request leaves behind goes with it.

Objects that hold each other wait for the garbage collector, which comes the more seldom the more there is: after a burst of requests they
would be most of what has grown.
"""

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from llm_sidecar.engine.connection import Connection
from llm_sidecar.http.call import Call
from llm_sidecar.http.cycle import Cycle
from llm_sidecar.http.exchange import Exchange
from llm_sidecar.http.protocol import BoundedProtocol
from tests.unit.sidecar.support.client import connect, post
from tests.unit.sidecar.support.engine import Request, Script, chunk, completion, http
from tests.unit.sidecar.support.eventually import eventually
from tests.unit.sidecar.support.pod import Pod

OURS = (BoundedProtocol, Call, Connection, Cycle, Exchange)


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Nothing is collected while the test runs."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive() -> Counter[str]:
    """Count what was made since the last collection: all else is of an older generation."""
    return Counter(type(each).__name__ for each in gc.get_objects(generation=0) if type(each) in OURS)


async def whole(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(http(completion()))
    writer.close()


async def nothing(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def half(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(http(completion())[:-5])
    writer.close()


async def half_a_stream(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n8\r\ndata: {}\r\n")
    writer.close()


async def endless(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(chunk(b'data: {"choices": []}\n\n'))
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("script", [whole, nothing, half, half_a_stream, endless], ids=lambda script: script.__name__)
async def test_nothing_of_a_connection_is_left_when_it_has_gone(pod: Pod, script: Script) -> None:
    pod.engine.script = script
    before = alive()
    for _ in range(5):
        async with connect(pod.port) as client:
            client.send(post("/v1/completions", {"prompt": "x", "stream": script in {half_a_stream, endless}}))
            await client.answer(until=b"data:" if script is endless else None)
    await eventually(lambda: not alive() - before, "an end of everything that belongs to those requests")
