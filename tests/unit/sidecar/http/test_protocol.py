"""What is not a proper HTTP/1.1 request ends here."""

import asyncio

import pytest

from llm_sidecar.http import protocol
from tests.unit.sidecar.support.client import Client, ask, connect, get, post
from tests.unit.sidecar.support.engine import streams, text_events
from tests.unit.sidecar.support.pod import Pod

HEAD = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
BODY = b'{"prompt": "x"}'


@pytest.fixture
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEADER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(protocol, "LINGER_S", 0.3)


AMBIGUOUS = [
    "content-length: 15\r\ntransfer-encoding: chunked\r\n",
    "transfer-encoding: chunked\r\ncontent-length: 15\r\n",
    "content-length: 15\r\ncontent-length: 16\r\n",
    "content-length: 15, 15\r\n",
    "content-length: +15\r\n",
    "content-length: 0x0f\r\n",
    "content-length: -1\r\n",
    "content-length : 15\r\n",
    "transfer-encoding: xchunked\r\n",
    "transfer-encoding: chunked, identity\r\n",
    "content-length: 15\nx: y\r\n",
    "x: a\rcontent-length: 15\r\n",
    "x: y\r\n folded: z\r\ncontent-length: 15\r\n",
    "na me: y\r\ncontent-length: 15\r\n",
    "x: a\x00b\r\ncontent-length: 15\r\n",
]


async def test_a_request_whose_end_is_ambiguous_is_refused(pod: Pod) -> None:
    for head in AMBIGUOUS:
        async with connect(pod.port) as client:
            client.send(HEAD + head.encode() + b"\r\n" + BODY)
            answer = await client.answer()
            assert (answer.status, answer.error["code"]) == (400, "invalid_http"), head
            assert answer.headers["x-llm-revision"] == "r1"
            assert not await client.closed()
    assert not pod.engine.requests


async def test_a_chunked_body_arrives_whole_and_travels_with_a_length(pod: Pod) -> None:
    async with connect(pod.port) as client:
        client.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        for at in range(0, len(BODY), 4):
            part = BODY[at : at + 4]
            client.send(b"%x\r\n%s\r\n" % (len(part), part))
            await asyncio.sleep(0)
        client.send(b"0\r\n\r\n")
        assert (await client.answer()).status == 200
    assert pod.engine.requests[-1].body == BODY
    assert "transfer-encoding" not in pod.engine.requests[-1].headers


@pytest.mark.parametrize("pieces", [[CHUNKED + b"zz\r\n"], [CHUNKED, b"zz\r\n"]], ids=["at once", "later"])
async def test_garbage_instead_of_a_chunk_ends_the_request_and_frees_its_slot(pod: Pod, pieces: list[bytes]) -> None:
    async with connect(pod.port) as client:
        for piece in pieces:
            client.send(piece)
            await asyncio.sleep(0.05)
        assert (await client.answer()).status == 400
    await pod.until(lambda status: status["inflight"] == 0)
    assert not pod.engine.requests


async def test_what_stands_behind_a_body_is_no_header(pod: Pod) -> None:
    async with connect(pod.port) as client:
        client.send(CHUNKED + b"%x\r\n%b\r\n0\r\nx-request-id: mine\r\n\r\n" % (len(BODY), BODY))
        answer = await client.answer()
        assert (answer.status, len(answer.headers["x-request-id"])) == (200, 32)


async def test_trailers_that_never_end_are_cut_off_at_the_limit(pod: Pod) -> None:
    async with connect(pod.port) as client:
        client.send(CHUNKED + b"%x\r\n%b\r\n0\r\nx: " % (len(BODY), BODY))
        for _ in range(protocol.MAX_HEADER_BYTES // 1024 + 1):
            await asyncio.sleep(0.001)
            client.send(b"a" * 1024)
        answer = await client.answer()
        assert (answer.status, answer.error["code"]) == (431, "headers_too_large")
    await pod.until(lambda status: status["inflight"] == 0)
    assert not pod.engine.requests


async def test_a_request_behind_one_that_ends_the_connection_is_not_served(pod: Pod) -> None:
    async with connect(pod.port) as client:
        client.send(get("//nowhere") + post("/v1/completions", BODY))
        assert (await client.closed()).count(b"HTTP/1.1 ") == 1
    await pod.until(lambda status: status["inflight"] == 0)
    assert not pod.engine.requests


async def test_a_client_of_http_1_0_gets_a_stream_without_chunks(pod: Pod) -> None:
    pod.engine.script = streams(*text_events("a", "b"))
    async with connect(pod.port) as client:
        client.send(post("/v1/completions", {"prompt": "x", "stream": True}).replace(b"HTTP/1.1", b"HTTP/1.0"))
        head, _, body = (await client.closed()).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert body == b"".join(text_events("a", "b", at_end=False, always=False))


async def test_bytes_that_are_not_http_are_answered_and_the_connection_closed(pod: Pod) -> None:
    async with connect(pod.port) as client:
        client.send(b"\x16\x03\x01\x02\x00 this is TLS or worse\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.error["code"]) == (400, "invalid_http")
        assert not await client.closed()


@pytest.mark.parametrize("offer", ["websocket", "h2c, websocket", "h2", "TLS/1.2"])
async def test_an_upgrade_to_something_else_is_refused(pod: Pod, offer: str) -> None:
    answer = await pod.post("/v1/completions", {"prompt": "x"}, f"upgrade: {offer}", "connection: upgrade")
    assert (answer.status, answer.error["code"]) == (400, "upgrade_not_supported")
    assert not pod.engine.requests


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\nUpgrade: h2c\r\n"
"""As Java's client sends it with every request to an address without TLS."""


async def test_who_offers_http2_is_answered_in_http1_and_stays_connected(pod: Pod) -> None:
    async with connect(pod.port) as client:
        for _ in range(2):
            client.send(HEAD + OFFER + b"content-length: %d\r\n\r\n" % len(BODY) + BODY)
            answer = await client.answer()
            assert (answer.status, "upgrade" in answer.headers) == (200, False)
    assert [each.body for each in pod.engine.requests] == [BODY, BODY]


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_an_offer_of_http2_may_come_in_pieces_and_behind_another_request(pod: Pod, size: int) -> None:
    one = HEAD + OFFER + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    data = one + get("/v1/models") + one
    async with connect(pod.port) as client:
        for at in range(0, len(data), size):
            client.send(data[at : at + size])
            await asyncio.sleep(0)
        assert [(await client.answer()).status for _ in range(3)] == [200, 200, 200]
    assert [each.body for each in pod.engine.requests if each.method == "POST"] == [BODY, BODY]


async def test_an_offer_of_http2_hides_nothing(pod: Pod) -> None:
    for ambiguous in AMBIGUOUS:
        answer = await ask(pod.port, HEAD + OFFER + ambiguous.encode() + b"\r\n" + BODY)
        assert answer.status == 400, ambiguous
    assert (await ask(pod.port, HEAD.replace(b"/v1/completions", b"/metrics") + OFFER + b"content-length: 0\r\n\r\n")).status == 404
    assert not pod.engine.requests


async def test_the_end_of_a_connection_that_offers_http2_is_kept(pod: Pod) -> None:
    async with connect(pod.port) as client:
        client.send(HEAD + OFFER.replace(b"Upgrade,", b"Upgrade, close,") + b"content-length: %d\r\n\r\n" % len(BODY) + BODY)
        assert (await client.answer()).status == 200
        assert not await client.closed()


async def test_a_tunnel_is_refused(pod: Pod) -> None:
    answer = await ask(pod.port, b"CONNECT 127.0.0.1:8000 HTTP/1.1\r\nhost: x\r\n\r\n")
    assert answer.status == 400


async def test_the_http2_preface_is_refused(pod: Pod) -> None:
    async with connect(pod.port) as client:
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert b" 400 " in await client.closed()


@pytest.mark.parametrize(
    "headers",
    [["x-large: " + "a" * 33_000], [f"x-{number}: y" for number in range(200)], ["cookie: " + "b" * 300_000]],
    ids=["one large", "many small", "far too large"],
)
async def test_large_heads_get_431(pod: Pod, headers: list[str]) -> None:
    async with connect(pod.port) as client:
        client.send(get("/v1/models", *headers))
        answer = await client.answer()
        assert (answer.status, answer.error["code"]) == (431, "headers_too_large")
        assert (answer.headers["x-llm-revision"], len(answer.headers["x-request-id"])) == ("r1", 32)
    assert not pod.engine.requests


async def test_a_large_head_sent_ahead_gets_431_too(pod: Pod) -> None:
    async with connect(pod.port) as client:
        client.send(get("/v1/models") + get("/v1/models", "x-large: " + "a" * 33_000))
        assert [(await client.answer()).status for _ in range(2)] == [200, 431]


async def test_a_head_within_the_limit_is_served(pod: Pod) -> None:
    assert (await pod.get("/v1/models", "x-large: " + "a" * 30_000)).status == 200


async def test_a_header_that_never_ends_is_cut_off_at_the_limit(pod: Pod) -> None:
    async with connect(pod.port) as client:
        client.send(b"GET /v1/models HTTP/1.1\r\nx: ")
        for _ in range(protocol.MAX_HEADER_BYTES // 1024):
            client.send(b"a" * 1024)
            await asyncio.sleep(0)
        assert (await client.answer()).status == 431


@pytest.mark.usefixtures("short_times")
async def test_a_slow_head_gets_408(pod: Pod) -> None:
    async with connect(pod.port) as client:
        dripping = asyncio.create_task(_drip(client, b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 200))
        answer = await client.answer()
        dripping.cancel()
        assert (answer.status, answer.error["code"]) == (408, "head_timeout")


@pytest.mark.usefixtures("short_times")
async def test_a_slow_second_head_gets_408_too(pod: Pod) -> None:
    async with connect(pod.port) as client:
        client.send(get("/v1/models"))
        assert (await client.answer()).status == 200
        client.send(b"GET /v1/models HTTP/1.1\r\nhost")
        answer = await client.answer()
        assert answer.status == 408


@pytest.mark.usefixtures("short_times")
async def test_a_connection_that_says_nothing_is_closed(pod: Pod) -> None:
    async with connect(pod.port) as client:
        assert b" 408 " in await client.closed()


@pytest.mark.usefixtures("short_times")
@pytest.mark.parametrize("ahead", [b"\r\n", b"POST /v1/compl"])
async def test_what_comes_of_the_next_request_does_not_end_the_answer_to_this_one(pod: Pod, ahead: bytes) -> None:
    pod.engine.script = streams(*text_events("a", "b"), pause_s=0.2)
    async with connect(pod.port) as client:
        client.send(post("/v1/completions", {"prompt": "x", "stream": True}))
        await asyncio.sleep(0.05)
        client.send(ahead)
        assert b"[DONE]" in (await client.answer()).body
        if ahead.strip():
            assert (await client.answer()).status == 408, "its own time began when it was its turn"


@pytest.mark.usefixtures("short_times")
async def test_a_long_answer_outlives_the_time_for_heads(pod: Pod) -> None:
    async with connect(pod.port) as client:
        client.send(get("/v1/models"))
        assert (await client.answer()).status == 200
        await asyncio.sleep(0.5)
        client.send(post("/v1/completions", BODY))
        assert (await client.answer()).status == 200


@pytest.mark.usefixtures("short_times")
async def test_the_rest_of_an_unwanted_body_is_read_for_a_while_only(pod: Pod) -> None:
    async with connect(pod.port) as client:
        client.send(b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n" + b"a" * 1000)
        assert (await client.answer()).status == 404
        assert not await client.closed()


async def test_the_connection_goes_on_after_an_unwanted_body(pod: Pod) -> None:
    async with connect(pod.port) as client:
        client.send(b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\n" + b"a" * 1000)
        assert (await client.answer()).status == 404
        client.send(b"a" * 4000 + get("/v1/models"))
        assert (await client.answer()).status == 200


async def test_expect_continue_is_answered_before_the_body(pod: Pod) -> None:
    async with connect(pod.port) as client:
        client.send(HEAD + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(BODY))
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(BODY)
        assert (await client.answer()).status == 200


async def test_an_old_client_is_not_told_to_go_on(pod: Pod) -> None:
    async with connect(pod.port) as client:
        client.send(HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(BODY))
        await asyncio.sleep(0.05)
        client.send(BODY)
        assert (await client.answer()).status == 200


async def _drip(client: Client, data: bytes) -> None:
    for byte in data:
        client.send(bytes([byte]))
        await asyncio.sleep(0.01)


async def test_an_old_connection_is_closed_with_its_next_answer(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connect(pod.port) as client:
        client.send(post("/v1/completions", {"prompt": "x"}))
        assert "connection" not in (await client.answer()).headers
    monkeypatch.setattr(protocol, "MAX_AGE_S", 0.0)
    async with connect(pod.port) as client:
        client.send(post("/v1/completions", {"prompt": "x"}))
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await client.closed() == b""
