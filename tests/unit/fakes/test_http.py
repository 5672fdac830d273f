import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.running import RunningStub
from tests.fakes.stub_engine.http import BadRequestError, _take

HEAD = b"POST /v1/completions?x=1 HTTP/1.1\r\nHost: a\r\nX-Id: 1\r\n"


@given(st.binary(max_size=200), st.integers(1, 50), st.booleans())
def test_a_body_is_read_in_both_framings_and_the_next_request_is_left(body: bytes, size: int, chunked: bool) -> None:
    if chunked:
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        framed = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        buffer = bytearray(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"GET /")
    else:
        buffer = bytearray(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body + b"GET /")
    request = _take(buffer)
    assert request is not None
    assert (request.method, request.path, request.headers["x-id"], request.body) == ("POST", "/v1/completions", "1", body)
    assert buffer == b"GET /"


@given(st.integers(0, 400))
def test_an_unfinished_request_waits_for_the_rest(cut: int) -> None:
    whole = HEAD + b"Content-Length: 300\r\n\r\n" + b"x" * 300
    buffer = bytearray(whole[:cut])
    assert (_take(buffer) is None) == (cut < len(whole))


@pytest.mark.parametrize(
    "data",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", b"x" * 70_000],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequestError):
        _take(bytearray(data))


async def _exchange(stub: RunningStub, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", stub.stub.port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 8)
    writer.close()
    return answer


async def test_nonsense_gets_400_and_the_connection_is_closed(stub: RunningStub) -> None:
    assert (await _exchange(stub, b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_requests_sent_in_one_go_are_answered_in_order(stub: RunningStub) -> None:
    get = b"GET %b HTTP/1.1\r\nhost: x\r\n%b\r\n"
    answers = await _exchange(stub, get % (b"/version", b"") + get % (b"/nope", b"connection: close\r\n"))
    assert answers.index(b"0.32.0") < answers.index(b"Not Found")


async def test_an_idle_connection_is_closed_as_uvicorn_does(stub: RunningStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fakes.stub_engine.http._KEEP_ALIVE_S", 0.1)
    answer = await _exchange(stub, b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n")
    assert answer.endswith(b'{"version":"0.32.0"}')
