"""The Telemetry port over HTTP: asks each sidecar's admin port what it runs."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Annotated, Self

import aiohttp
import msgspec

from llm_operator.core.names import ADMIN_PORT
from llm_operator.core.observed import SidecarReport
from llm_operator.shell.ports import Manifest

_TIMEOUT = aiohttp.ClientTimeout(total=1.0)
_BODY_CAP = 64 * 1024
_AT_ONCE = 64
_OK = 200

_Count = Annotated[int, msgspec.Meta(ge=0)]
_Text = Annotated[str, msgspec.Meta(max_length=4096)]


class _Status(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer of GET /status. Whoever runs in a tenant's pod writes it, so nothing in it is taken on trust."""

    engine: _Text
    revision: _Text | None
    generation: _Count | None
    ready: bool
    reason: _Text
    draining: bool
    inflight: _Count
    error: _Text
    error_generation: _Count | None
    bundle_schema: _Count
    reaches: Annotated[frozenset[_Text], msgspec.Meta(max_length=64)] | None = None
    revisions: Annotated[frozenset[_Text], msgspec.Meta(max_length=64)] = frozenset()
    held: _Count = 0


_DECODER = msgspec.json.Decoder(_Status)


def read_report(body: bytes) -> SidecarReport | None:
    """Return what a sidecar answered, or None when that is not a status."""
    try:
        status = _DECODER.decode(body)
    except msgspec.DecodeError:
        return None
    return SidecarReport(**{**msgspec.structs.asdict(status), "revision": status.revision or ""})


def status_url(address: str, port: int) -> str:
    """Return where a pod's sidecar tells its status."""
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}/status"


class HttpTelemetry:
    """Asks all pods at once, each within a second, a bounded number at a time."""

    def __init__(self, port: int = ADMIN_PORT) -> None:
        self._port = port
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def __aenter__(self) -> Self:
        """Open the session."""
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the session."""
        if self._session:
            await self._session.close()

    async def reports(self, pods: Iterable[Manifest]) -> Mapping[str, SidecarReport | None]:
        """Return a report per pod uid; None for a pod that has no address, does not answer in time, or not with a status."""
        wanted = list(pods)
        answers = await asyncio.gather(*(self._ask(pod) for pod in wanted))
        return {pod["metadata"]["uid"]: answer for pod, answer in zip(wanted, answers, strict=True)}

    async def _ask(self, pod: Manifest) -> SidecarReport | None:
        address = pod.get("status", {}).get("podIP")
        if not address or self._session is None:
            return None
        async with self._slots:
            try:
                async with self._session.get(status_url(address, self._port), allow_redirects=False) as response:
                    if response.status != _OK:
                        return None
                    return read_report(await _capped(response.content))
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
                return None


async def _capped(stream: aiohttp.StreamReader) -> bytes:
    """Read a body to its end, or raise ValueError when it is longer than any honest status."""
    body = b""
    async for chunk in stream.iter_any():
        body += chunk
        if len(body) > _BODY_CAP:
            raise ValueError("the body is too long")
    return body
