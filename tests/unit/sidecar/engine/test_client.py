"""The pool: connections are reused, and a dead one costs no request."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from llm_sidecar.engine.client import UpstreamClient, request_head
from llm_sidecar.engine.errors import EngineBrokenError, EngineLostError, EngineUnreachableError
from tests.unit.sidecar.support.engine import Engine, Request, answers, completion, http
from tests.unit.sidecar.support.eventually import eventually

BODY = b'{"prompt":"x"}'
HEAD = request_head("POST", "/v1/completions", (("content-type", "application/json"),), len(BODY))


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[UpstreamClient]:
    made = UpstreamClient("127.0.0.1", engine.port)
    yield made
    made.close()


async def ask(client: UpstreamClient, head: bytes = HEAD, body: bytes = BODY) -> bytes:
    connection = await client.send(head, body)
    try:
        return await connection.body()
    finally:
        client.release(connection)


async def test_one_connection_serves_requests_in_turn(client: UpstreamClient, engine: Engine) -> None:
    for _ in range(3):
        assert await ask(client) == completion()
    assert engine.connections == 1


async def test_requests_at_once_have_connections_of_their_own(client: UpstreamClient, engine: Engine) -> None:
    await asyncio.gather(*(ask(client) for _ in range(5)))
    assert engine.connections == 5
    await asyncio.gather(*(ask(client) for _ in range(5)))
    assert engine.connections == 5


async def test_a_large_body_arrives_whole(client: UpstreamClient, engine: Engine) -> None:
    body = b"x" * 3_000_000
    await ask(client, request_head("POST", "/v1/completions", (), len(body)), body)
    assert engine.requests[-1].body == body


async def test_a_kept_connection_the_engine_closed_is_replaced_without_a_failure(client: UpstreamClient, engine: Engine) -> None:
    await ask(client)
    engine.drop_connections_on_next_request = True
    assert await ask(client) == completion()
    assert engine.connections == 2
    assert len(engine.requests) == 2


async def test_a_request_goes_a_second_time_only_if_no_byte_of_an_answer_came(client: UpstreamClient, engine: Engine) -> None:
    await ask(client)

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200")
        writer.close()

    engine.script = script
    with pytest.raises(EngineBrokenError):
        await ask(client)
    assert len(engine.requests) == 2


async def test_a_new_connection_that_breaks_is_not_tried_again(client: UpstreamClient, engine: Engine) -> None:
    engine.drop_connections_on_next_request = True
    with pytest.raises(EngineBrokenError):
        await ask(client)
    assert engine.connections == 1


async def test_an_answer_not_read_to_its_end_closes_its_connection(client: UpstreamClient, engine: Engine) -> None:
    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(http(b"a" * 10)[:-5])
        await writer.drain()
        await asyncio.sleep(60)

    engine.script = script
    connection = await client.send(HEAD, BODY)
    client.release(connection)
    await asyncio.wait_for(engine.aborted.wait(), 5)


async def test_giving_up_while_waiting_closes_the_connection(client: UpstreamClient, engine: Engine) -> None:
    engine.script = answers()
    asking = asyncio.create_task(ask(client))
    await eventually(lambda: engine.requests, "the request")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_connection_idle_for_too_long_is_not_used_again(
    engine: Engine,
) -> None:
    client = UpstreamClient("127.0.0.1", engine.port, max_idle_s=0.0)
    await ask(client)
    await ask(client)
    client.close()
    assert engine.connections == 2


async def test_an_answer_that_never_began_is_lost_and_one_that_did_is_broken(client: UpstreamClient, engine: Engine) -> None:
    engine.drop_connections_on_next_request = True
    with pytest.raises(EngineLostError):
        await ask(client)
    await ask(client)

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200")
        writer.close()

    engine.script = script
    with pytest.raises(EngineBrokenError) as caught:
        await ask(client)
    assert not isinstance(caught.value, EngineLostError)


async def test_an_engine_that_dies_with_a_request_on_a_kept_connection_has_lost_it(client: UpstreamClient, engine: Engine) -> None:
    await ask(client)

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        asyncio.get_running_loop().call_soon(writer.transport.abort)
        assert engine._server is not None
        engine._server.close()

    engine.script = script
    with pytest.raises(EngineLostError):  # and not unreachable: it may have run
        await ask(client)


async def test_nobody_listening_is_unreachable(client: UpstreamClient, engine: Engine) -> None:
    await engine.stop()
    with pytest.raises(EngineUnreachableError, match="Connection refused"):
        await ask(client)
