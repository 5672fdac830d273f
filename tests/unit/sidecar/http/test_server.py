"""What a connection does for any application: order, back-pressure, and nothing of a broken answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from llm_sidecar.http import protocol, server
from llm_sidecar.http.cycle import Cycle, Link, lines
from llm_sidecar.http.protocol import App
from llm_sidecar.http.server import create, listen
from llm_sidecar.outbox import AT_ONCE
from tests.unit.sidecar.support.client import connect, get
from tests.unit.sidecar.support.eventually import eventually

LARGE = 8 * 1024 * 1024


@contextlib.asynccontextmanager
async def serving(app: App) -> AsyncIterator[int]:
    served, bound = create(app), listen("127.0.0.1", 0)
    running = asyncio.create_task(served.serve([bound]))
    try:
        yield int(bound.getsockname()[1])
    finally:
        served.leave()
        async with asyncio.timeout(10):
            await running


async def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    begun: list[bytes] = []

    async def app(cycle: Cycle) -> None:
        begun.append(cycle.path)
        await asyncio.sleep(0.1 if cycle.path == b"/1" else 0)
        assert begun[-1] == cycle.path  # one at a time
        cycle.answer(200, lines([]), cycle.path)

    async with serving(app) as port, connect(port) as client:
        client.send(b"".join(get(f"/{number}") for number in range(1, 4)).replace(b"connection: close\r\n", b""))
        read = await client.reader.readuntil(b"/3")
    assert begun == [b"/1", b"/2", b"/3"]
    assert read.index(b"/1") < read.index(b"/2") < read.index(b"/3")


def reads(link: Link) -> bool:
    return link.transport.is_reading()


async def test_reading_goes_on_behind_a_few_requests_and_pauses_behind_more_of_them() -> None:
    links: list[Link] = []
    go = asyncio.Event()

    async def app(cycle: Cycle) -> None:
        links.append(cycle.link)
        await go.wait()
        cycle.answer(200, lines([]), cycle.path)

    async with serving(app) as port, connect(port) as client:
        for number in range(1 + protocol.MAX_AHEAD):
            client.send(get(f"/{number}"))
            await asyncio.sleep(0.05)
        assert reads(links[0])
        client.send(get("/more"))
        await eventually(lambda: not reads(links[0]), "reading to pause")
        go.set()
        assert [(await client.answer()).status for _ in range(2 + protocol.MAX_AHEAD)] == [200] * (2 + protocol.MAX_AHEAD)
        assert reads(links[0])


async def test_a_large_body_sent_ahead_is_not_read_before_its_turn() -> None:
    links: list[Link] = []
    turns = asyncio.Semaphore(0)

    async def app(cycle: Cycle) -> None:
        links.append(cycle.link)
        await turns.acquire()
        size = 0
        while not cycle.body_complete or cycle.is_full:
            await cycle.more()
            size += len(cycle.take())
        cycle.answer(200, lines([]), b"%d" % (size + len(cycle.take())))

    async with serving(app) as port, connect(port) as client:
        client.send(get("/1") + get("/2") + b"POST /3 HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % LARGE + b"x" * LARGE)
        await eventually(lambda: links and not reads(links[0]), "reading to pause")
        for _ in range(2):
            turns.release()
            assert (await client.answer()).body == b"0"
        await eventually(lambda: len(links) == 3, "the turn of the third")
        assert not reads(links[0])
        turns.release()
        assert (await client.answer()).body == b"%d" % LARGE
        assert reads(links[0])


async def echo(cycle: Cycle) -> None:
    """Answer with the path and the body, a while after all of it has come."""
    body = b""
    while not cycle.body_complete:
        await cycle.more()
        body += cycle.take()
    await asyncio.sleep(0.4)
    cycle.answer(200, lines([]), cycle.path + body + cycle.take())


async def test_a_request_sent_ahead_has_its_time_when_its_turn_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEADER_TIMEOUT_S", 0.2)
    monkeypatch.setattr(protocol, "LINGER_S", 0.2)
    third = get("/3")
    for last, rest in [(b"POST /3 HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbo", b"dy"), (third[:20], third[20:])]:
        async with serving(echo) as port, connect(port) as client:
            client.send(get("/1") + get("/2") + last)
            assert [(await client.answer()).body for _ in range(2)] == [b"/1", b"/2"]
            client.send(rest)
            assert (await client.answer()).body in {b"/3body", b"/3"}


async def test_a_connection_is_closed_when_nothing_follows_a_body_nobody_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def app(cycle: Cycle) -> None:
        await asyncio.sleep(0)
        cycle.answer(200, lines([]), b"")

    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.2)
    async with serving(app) as port, connect(port) as client:
        client.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n")
        assert (await client.answer()).status == 200
        client.send(b"body")
        assert await client.closed() == b""


async def test_an_answer_nobody_reads_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    links: list[Link] = []

    async def app(cycle: Cycle) -> None:
        await asyncio.sleep(0)
        links.append(cycle.link)
        cycle.answer(200, lines([]), b"x" * (8 * LARGE))

    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.2)
    async with serving(app) as port, connect(port) as client:
        client.send(get("/"))
        await eventually(lambda: links and not links[0].transport.get_write_buffer_size(), "the answer to be dropped")
        assert len(await client.closed()) < LARGE


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b", b"a\x7f"])
async def test_a_header_cannot_smuggle_another_one(value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def app(cycle: Cycle) -> None:
        await asyncio.sleep(0)
        cycle.answer(200, lines([(b"x", value)]), b"")

    async with serving(app) as port, connect(port) as client:
        client.send(get("/"))
        assert await client.closed() == b""
    assert "control characters" in caplog.text


@pytest.mark.parametrize("length", [3, 5])
async def test_a_body_of_another_length_than_announced_ends_the_connection(length: int, caplog: pytest.LogCaptureFixture) -> None:
    async def app(cycle: Cycle) -> None:
        await asyncio.sleep(0)
        cycle.begin(200, lines([]), length)
        cycle.write(b"four", more=False)

    async with serving(app) as port, connect(port) as client:
        client.send(get("/"))
        assert b"four" not in await client.closed()
    assert "another length" in caplog.text


async def test_an_answer_to_head_has_the_length_and_no_body() -> None:
    async def app(cycle: Cycle) -> None:
        await asyncio.sleep(0)
        cycle.answer(200, lines([]), b"four")

    async with serving(app) as port, connect(port) as client:
        client.send(b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        head = await client.closed()
    assert b"content-length: 4\r\n" in head
    assert head.endswith(b"\r\n\r\n")


async def test_an_app_that_waits_for_a_slow_reader_goes_on_when_it_has_read() -> None:
    waits, went_on = asyncio.Event(), asyncio.Event()

    async def app(cycle: Cycle) -> None:
        cycle.begin(200, lines([]), None)
        cycle.write(b"x" * LARGE, more=True)
        assert cycle.link.blocked
        waits.set()
        await cycle.link.drain()
        went_on.set()
        cycle.write(b"", more=False)

    async with serving(app) as port, connect(port) as client:
        client.send(get("/"))
        await asyncio.wait_for(waits.wait(), 10)
        await asyncio.sleep(0.1)
        assert not went_on.is_set()
        answer = await client.answer()
        assert went_on.is_set()
        assert len(answer.body) == LARGE


async def test_a_client_that_leaves_frees_an_app_that_waits_for_it() -> None:
    freed = asyncio.Event()

    async def app(cycle: Cycle) -> None:
        cycle.begin(200, lines([]), None)
        cycle.write(b"x" * LARGE, more=True)
        await cycle.link.drain()
        assert cycle.disconnected
        freed.set()

    async with serving(app) as port:
        async with connect(port) as client:
            client.send(get("/"))
            await client.reader.readexactly(10)
            client.writer.transport.abort()
        await eventually(freed.is_set, "the app to go on")


async def test_an_app_that_breaks_is_logged_and_its_connection_closed(caplog: pytest.LogCaptureFixture) -> None:
    async def app(_cycle: Cycle) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("broken")

    async with serving(app) as port, connect(port) as client:
        client.send(get("/"))
        assert await client.closed() == b""
    assert "broken" in caplog.text


async def test_what_was_written_before_the_end_of_the_connection_arrives() -> None:
    async def app(cycle: Cycle) -> None:
        await asyncio.sleep(0)
        cycle.begin(200, lines([]), None)
        cycle.write(b"first ", more=True)
        cycle.keep_alive = False
        cycle.write(b"last", more=False)

    async with serving(app) as port, connect(port) as client:
        client.send(get("/"))
        assert b"first " in (read := await client.closed())
        assert read.endswith(b"last\r\n0\r\n\r\n")


async def test_no_answer_is_forgotten_when_many_are_sent_in_one_turn() -> None:
    async def app(cycle: Cycle) -> None:
        await everybody.wait()
        cycle.answer(200, lines([]), cycle.path)

    everybody = asyncio.Barrier(3 * AT_ONCE)
    async with serving(app) as port, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(port)) for _ in range(everybody.parties)]
        for number, client in enumerate(clients):
            client.send(get(f"/{number}"))
        answered = await asyncio.gather(*(client.answer() for client in clients))
    assert [answer.body for answer in answered] == [b"/%d" % number for number in range(len(clients))]
