"""The client side of HTTP/1.1, against any cut of the bytes and against what a broken engine might send."""

import asyncio
import itertools
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar.engine import connection as connections
from llm_sidecar.engine.connection import Connection
from llm_sidecar.engine.errors import AnswerTooLargeError, EngineBrokenError


class Wire(asyncio.Transport):
    """Remembers what was written and whether reading is paused."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = True
        self.gone = False

    def write(self, data: Any) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def abort(self) -> None:
        self.gone = True

    def is_closing(self) -> bool:
        return self.gone

    def get_write_buffer_size(self) -> int:
        return 0


def opened(loop: asyncio.AbstractEventLoop) -> tuple[Connection, Wire]:
    wire, connection = Wire(), Connection(loop)
    connection.connection_made(wire)
    connection.send(b"GET / HTTP/1.1\r\n\r\n", b"")
    return connection, wire


def made_by_h11(status: int, body: bytes, chunks: list[int] | None, *, interim: bool) -> bytes:
    """Return an answer written by another implementation."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    while server.next_event() is not h11.NEED_DATA and server.their_state is not h11.DONE:
        pass
    out = b""
    if interim:
        out += server.send(h11.InformationalResponse(status_code=103, headers=[("link", "x")])) or b""
    framing = [("transfer-encoding", "chunked")] if chunks is not None else [("content-length", str(len(body)))]
    out += server.send(h11.Response(status_code=status, headers=framing)) or b""
    edges = [0, *sorted(edge % (len(body) + 1) for edge in chunks or []), len(body)]
    for start, end in itertools.pairwise(edges):
        if start < end:
            out += server.send(h11.Data(data=body[start:end])) or b""
    return out + (server.send(h11.EndOfMessage()) or b"")


@given(
    status=st.sampled_from([200, 404, 500]),
    body=st.binary(max_size=80),
    chunks=st.none() | st.lists(st.integers(0, 80), max_size=4),
    interim=st.booleans(),
    cuts=st.sets(st.integers(0, 300), max_size=10),
    whole=st.booleans(),
)
def test_any_cut_of_an_answer_gives_the_same_answer(
    status: int, body: bytes, chunks: list[int] | None, interim: bool, cuts: set[int], whole: bool
) -> None:
    raw = made_by_h11(status, body, chunks, interim=interim)
    edges = [0, *sorted(cut for cut in cuts if cut < len(raw)), len(raw)]

    async def exchange() -> None:
        connection, _ = opened(asyncio.get_running_loop())
        reading = asyncio.ensure_future(_read(connection, whole=whole))
        for start, end in itertools.pairwise(edges):
            connection.data_received(raw[start:end])
            await asyncio.sleep(0)
        assert await reading == body
        assert connection.status == status
        assert connection.reusable

    asyncio.run(exchange())


async def _read(connection: Connection, *, whole: bool) -> bytes:
    await connection.head()
    if whole:
        return await connection.body()
    data = b""
    while part := await connection.chunk():
        data += part
    assert connection.drained
    return data


async def test_a_body_up_to_the_end_of_the_connection_is_complete_and_not_reusable() -> None:
    connection, _ = opened(asyncio.get_running_loop())
    connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nabc")
    connection.connection_lost(None)
    assert await _read(connection, whole=True) == b"abc"
    assert not connection.reusable


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\nabc",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000 + b"\r\n\r\n",
    ],
)
async def test_an_answer_that_ends_early_or_is_not_http_is_broken(raw: bytes) -> None:
    connection, _ = opened(asyncio.get_running_loop())
    if raw:
        connection.data_received(raw)
    connection.connection_lost(None)
    with pytest.raises(EngineBrokenError):
        await _read(connection, whole=True)
    assert not connection.reusable


async def test_what_came_before_the_break_is_still_handed_out() -> None:
    connection, _ = opened(asyncio.get_running_loop())
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
    connection.connection_lost(ConnectionResetError())
    assert await connection.chunk() == b"abc"
    with pytest.raises(EngineBrokenError):
        await connection.chunk()


async def test_a_stream_nobody_reads_pauses_the_engine_until_it_is_read() -> None:
    connection, wire = opened(asyncio.get_running_loop())
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    connection.data_received(b"a" * connections.HIGH_WATER)
    assert wire.reading
    connection.data_received(b"b")
    assert not wire.reading
    assert len(await connection.chunk()) == connections.HIGH_WATER + 1
    assert wire.reading


async def test_a_whole_answer_beyond_the_limit_is_refused() -> None:
    connection, wire = opened(asyncio.get_running_loop())
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + b"a" * (connections.HIGH_WATER + 1))
    assert not wire.reading
    reading = asyncio.ensure_future(connection.body(100_000))
    await asyncio.sleep(0)
    connection.data_received(b"a" * 100_000)
    with pytest.raises(AnswerTooLargeError):
        await reading


@pytest.mark.parametrize("surplus", [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"x"])
async def test_bytes_after_the_answer_end_the_connection(surplus: bytes) -> None:
    connection, wire = opened(asyncio.get_running_loop())
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na"
    connection.data_received(answer + surplus)
    assert not connection.reusable
    connection, wire = opened(asyncio.get_running_loop())
    connection.data_received(answer)
    assert connection.reusable
    connection.data_received(surplus)
    assert wire.gone
    assert not connection.reusable


async def test_an_answer_that_closes_is_not_reusable() -> None:
    connection, _ = opened(asyncio.get_running_loop())
    connection.data_received(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na")
    assert await _read(connection, whole=True) == b"a"
    assert not connection.reusable


async def test_a_closed_connection_takes_no_request() -> None:
    connection, _ = opened(asyncio.get_running_loop())
    connection.connection_lost(None)
    with pytest.raises(EngineBrokenError):
        connection.send(b"", b"")
