"""What an attacker sends to get past the sidecar: whatever it is, the engine hears only of the allowed paths, and of no broken request."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from llm_sidecar.bundle import Bundle, Pipeline, TrimStage
from llm_sidecar.http import call
from tests.unit.sidecar.support.client import Answer, ask, connect, get, post
from tests.unit.sidecar.support.engine import Engine, Request, engine_running
from tests.unit.sidecar.support.pod import Pod, pod_running

COMPLETIONS = "/v1/completions"
BODY = b'{"prompt": "x"}'

ENGINE_PATHS = (
    *("/metrics", "/version", "/load", "/ping", "/invocations", "/tokenize", "/detokenize", "/v1/responses", "/v1/messages", "/docs"),
    *("/v1/embeddings", "/v1/load_lora_adapter", "/collective_rpc", "/sleep", "/wake_up", "/pause", "/resume", "/reset_prefix_cache"),
    *("/inference/v1/generate", "/release_kv_cache_memory", "/start_weight_update", "/finish_weight_update", "/openapi.json"),
)
"""Paths of vLLM that no client may reach."""

OWN_PATHS = ("/-/hop", "/-/stats", "/drain", "/readyz", "/livez", "/status")
"""Paths for other pods and for the cluster."""


def spellings(path: str) -> list[str]:
    """Return the targets by which somebody between us and the engine, or a careless router, could mean this path."""
    first = f"/%{ord(path[1]):02x}{path[2:]}"
    return [
        *(path, f"{path}/", f"{path}?x=1", f"{path}#x", f"{path};x", f"{path}%00", f"{path}%20", f"{path}.json", path.upper()),
        *(first, first.replace("%", "%25"), path.replace("/", "%2f"), f"/{path.replace('/', '%2f')}", path.replace("/", "\\")),
        *(f"/{path}", f"/.{path}", f"/x/..{path}", f"/%2e{path}", f"/x/%2e%2e{path}", f"/..;{path}"),
        *(
            f"{COMPLETIONS}/../..{path}",
            f"{COMPLETIONS}/..%2f..%2f{path[1:]}",
            f"{COMPLETIONS}%3f/../..{path}",
            f"{COMPLETIONS}\\..\\..{path}",
        ),
        *(f"http://127.0.0.1:8000{path}", f"HTTP://x{path}", f"http:{path}", f"//127.0.0.1:8000{path}", f"x@127.0.0.1{path}"),
    ]


@dataclass
class Recording(Engine):
    """Remembers everything that reached it, its health checks apart."""

    reached: list[Request] = field(default_factory=list)

    async def _read(self, reader: asyncio.StreamReader, number: int) -> Request:
        request = await super()._read(reader, number)
        if request.target != "/health" and b"quick brown fox" not in request.body:
            self.reached.append(request)
        return request


@contextlib.asynccontextmanager
async def sidecar(path: Path, bundle: Bundle) -> AsyncIterator[tuple[Pod, list[Request]]]:
    """Run a sidecar; gives what reaches its engine too."""
    async with engine_running(Recording()) as engine, pod_running(path / "snapshot", engine, bundle) as pod:
        assert isinstance(engine, Recording)
        yield pod, engine.reached


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[tuple[Pod, list[Request]]]:
    async with sidecar(tmp_path, Bundle()) as running:
        yield running


async def sent(pod: Pod, raw: bytes) -> Answer:
    """Send bytes; whoever does not answer them closes the connection."""
    async with connect(pod.port) as client:
        client.send(raw)
        return await client.answer()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_spelling_of_a_path_that_is_not_allowed_reaches_the_engine(guarded: tuple[Pod, list[Request]], method: str) -> None:
    pod, reached = guarded
    targets = (target for path in ("/metrics", "/v1/load_lora_adapter", "/inference/v1/generate", "/-/hop") for target in spellings(path))
    for target in (*ENGINE_PATHS, *OWN_PATHS, *targets):
        answer = await sent(pod, post(target, BODY).replace(b"POST", method.encode(), 1))
        assert answer.status in {400, 404}, target
        assert answer.error["stage"] in {"http", "route"}, target
    assert not reached


OVERRIDES = (
    *(
        "x-original-url: /metrics",
        "x-rewrite-url: /metrics",
        "x-forwarded-uri: /metrics",
        "x-forwarded-path: /metrics",
        "x-accel-redirect: /metrics",
    ),
    *(
        "x-forwarded-prefix: /metrics/..",
        "x-envoy-original-path: /metrics",
        "x-http-method-override: DELETE",
        "x-http-method: PUT",
        "x-method-override: PUT",
    ),
    *(
        "x-original-method: GET",
        "forwarded: host=127.0.0.1;proto=http",
        "x-forwarded-host: 127.0.0.1:8000",
        "x-real-ip: 127.0.0.1",
        "host: 127.0.0.1:8000",
    ),
    *(
        "upgrade: h2c",
        "http2-settings: AAMAAABkAAQAAP__",
        "te: trailers",
        "connection: x-request-id",
        "proxy-connection: keep-alive",
        "keep-alive: 5",
    ),
    *(
        "x-llm-hop: 1",
        "x-llm-pod-token: ",
        "x-llm-revision: r2",
        "x-llm-preview: r2",
        "x-llm-key: a",
        "x-llm-forced: 1",
        "x-llm-hand-off: 1",
    ),
)


async def test_a_header_changes_neither_path_nor_method_nor_revision_and_goes_no_further(guarded: tuple[Pod, list[Request]]) -> None:
    pod, reached = guarded
    for header in OVERRIDES:
        answer = await sent(pod, post(COMPLETIONS, BODY, header))
        assert (answer.status, answer.headers["x-llm-revision"]) == (200, "r1"), header
        assert (await sent(pod, get(COMPLETIONS, header))).status == 405, header
        assert (await sent(pod, post("/metrics", BODY, header))).status == 404, header
    assert {(each.method, each.target, each.body) for each in reached} == {("POST", COMPLETIONS, BODY)}
    assert {name for each in reached for name in each.headers} == {"host", "content-type", "content-length", "x-request-id"}
    assert {each.headers["host"] for each in reached} == {"engine"}
    assert len(reached) == len(OVERRIDES)


HEAD = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
INNER = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
SMUGGLED = {
    "CL and TE": HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "TE twice": HEAD + b"content-length: 15\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n" + BODY + INNER,
    "TE in capitals": HEAD + b"content-length: 5\r\nTRANSFER-ENCODING: Chunked\r\n\r\n0\r\n\r\n" + INNER,
    "TE behind a tab": HEAD + b"content-length: 5\r\ntransfer-encoding:\tchunked\r\n\r\n0\r\n\r\n" + INNER,
    "TE with a space before the colon": HEAD + b"content-length: 5\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n" + INNER,
    "TE behind a vertical tab": HEAD + b"content-length: 5\r\ntransfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + INNER,
    "TE in a folded line": HEAD + b"content-length: 5\r\nx: y\r\n transfer-encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "TE behind a bare LF": HEAD + b"content-length: 5\r\nx: y\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "TE that is not the last": HEAD + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + INNER,
    "CL of a list": HEAD + b"content-length: 15, 0\r\n\r\n" + BODY + INNER,
    "CL beyond 64 bits": HEAD + b"content-length: 99999999999999999999\r\n\r\n" + BODY + INNER,
    "CL with an underscore in it": HEAD + b"content-length: 1_5\r\n\r\n" + BODY + INNER,
    "a size with a prefix": CHUNKED + b"0xf\r\n" + BODY + b"\r\n0\r\n\r\n" + INNER,
    "a size below zero": CHUNKED + b"-1\r\n" + BODY + b"\r\n0\r\n\r\n" + INNER,
    "a size beyond 64 bits": CHUNKED + b"1000000000000000f\r\n" + BODY + b"\r\n0\r\n\r\n" + INNER,
    "a size that ends with LF": CHUNKED + b"f\n" + BODY + b"\r\n0\r\n\r\n" + INNER,
    "an extension with LF": CHUNKED + b"f;x\n" + BODY + b"\r\n0\r\n\r\n" + INNER,
    "a chunk longer than its size": CHUNKED + b"e\r\n" + BODY + b"\r\n0\r\n\r\n" + INNER,
    "no end of a chunk": CHUNKED + b"f\r\n" + BODY + b"0\r\n\r\n" + INNER,
    "a trailer with a length": CHUNKED + b"f\r\n" + BODY + b"\r\n0\r\ncontent-length: 40\r\n\r\n" + INNER,
    "two spaces in the first line": HEAD.replace(b" HTTP", b"  HTTP ") + b"content-length: 15\r\n\r\n" + BODY + INNER,
    "a version of its own": HEAD.replace(b"HTTP/1.1", b"HTTP/1.11") + b"content-length: 15\r\n\r\n" + BODY + INNER,
    "no name": HEAD + b": y\r\ncontent-length: 15\r\n\r\n" + BODY + INNER,
}


async def test_a_request_whose_end_can_be_read_in_two_ways_is_refused_with_all_behind_it(guarded: tuple[Pod, list[Request]]) -> None:
    pod, reached = guarded
    for name, raw in SMUGGLED.items():
        async with connect(pod.port) as client:
            client.send(raw)
            said = await client.closed()
        assert said.startswith(b"HTTP/1.1 400 "), name
        assert said.count(b"HTTP/1.1 ") == 1, name
    await pod.until(lambda status: status["inflight"] == 0)
    assert not reached


DEPTH = 100_000
BAD_JSON = {
    "arrays without an end": b'{"prompt": ' + b"[" * DEPTH,
    "objects without an end": b'{"x": ' * DEPTH,
    "deep objects": b'{"prompt": "x", "y": ' + b'{"x": ' * DEPTH + b"1" + b"}" * DEPTH + b"}",
    "deep messages": b'{"prompt": "x", "messages": ' + b"[" * DEPTH + b"]" * DEPTH + b"}",
    "a deep field of ours": b'{"prompt": "x", "stop": ' + b"[" * DEPTH + b"]" * DEPTH + b"}",
    "many entries": b'{"prompt": "x", "y": [' + b"1," * 300_000 + b"1]}",
    "half a character": b'{"prompt": "\\ud800"}',
    "a byte order mark": b"\xef\xbb\xbf" + BODY,
    "UTF-16": json.dumps({"prompt": "x"}).encode("utf-16"),
    "not a number": b'{"prompt": "x", "temperature": NaN}',
    "a bare control character": b'{"prompt": "a\nb"}',
    "a comment": b'{"prompt": "x" /* y */}',
    "a comma too many": b'{"prompt": "x",}',
    "two documents": BODY + BODY,
    "a list": b"[]",
    "nothing": b"",
}


@pytest.mark.parametrize("stages", [None, Pipeline(request=(TrimStage(),))], ids=["as it is", "with stages"])
async def test_a_body_that_is_no_decent_json_is_400_on_every_route(tmp_path: Path, stages: Pipeline | None) -> None:
    async with sidecar(tmp_path, Bundle(pipeline=stages)) as (pod, reached):
        for path in ("/v1/chat/completions", COMPLETIONS, "/generate"):
            for name, body in BAD_JSON.items():
                answer = await ask(pod.port, post(path, body))
                assert answer.status == 400, (path, name, answer.body)
                assert answer.error["stage"] in {"limits", "request"}, (path, name)
        assert not reached


async def test_a_body_that_drips_is_cut_off_however_it_drips(guarded: tuple[Pod, list[Request]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "BODY_TIMEOUT_S", 0.3)
    pod, reached = guarded
    for head, drop in [
        (CHUNKED, b"1\r\n \r\n"),
        (CHUNKED + b"f\r\n" + BODY + b"\r\n0\r\n", b"x: y\r\n"),
        (HEAD + b"content-length: 1000\r\n\r\n", b" "),
    ]:
        async with connect(pod.port) as client:
            client.send(head)
            dripping = asyncio.create_task(drip(client.writer, drop))
            answer = await client.answer()
            dripping.cancel()
            assert (answer.status, answer.error["code"]) == (408, "body_timeout")
    assert not reached


async def drip(writer: asyncio.StreamWriter, drop: bytes) -> None:
    for _ in range(1000):
        writer.write(drop)
        await asyncio.sleep(0.02)
