"""The Telemetry port over HTTP: asks each sidecar what it runs, and in a gated rollout what it has counted, and others what they say."""

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Self

import aiohttp
import msgspec

from llm_operator.api.config import Gates
from llm_operator.core.gates.fetched import Fetched, Question
from llm_operator.core.names import ADMIN_PORT
from llm_operator.core.observed import SidecarReport
from llm_operator.core.scaling.decide import Memory
from llm_operator.core.scaling.exposition import SIZE_MAX
from llm_operator.core.scaling.outlook import Alarm
from llm_operator.core.scaling.sample import Expected
from llm_operator.core.scaling.watched import Watched
from llm_operator.core.telemetry.replies import Heard
from llm_operator.shell.capped import capped
from llm_operator.shell.doorbell import Doorbell
from llm_operator.shell.gate_servers import pose
from llm_operator.shell.inquirer import Inquirer
from llm_operator.shell.ports import Manifest
from llm_operator.shell.scraper import Scraper
from llm_operator.shell.watcher import Watcher

_TIMEOUT = aiohttp.ClientTimeout(total=1.0)
_STATUS_CAP = 64 * 1024
_STATISTICS_TIMEOUT = aiohttp.ClientTimeout(total=3.0)
_STATISTICS_CAP = 4 * 1024 * 1024
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
    running: _Count = 0
    queued: _Count = 0
    slots: Annotated[int, msgspec.Meta(ge=1)] | None = None


_DECODER = msgspec.json.Decoder(_Status)


def read_report(body: bytes) -> SidecarReport | None:
    """Return what a sidecar answered, or None when that is not a status."""
    try:
        status = _DECODER.decode(body)
    except msgspec.DecodeError:
        return None
    return SidecarReport(**{**msgspec.structs.asdict(status), "revision": status.revision or ""})


def url(address: str, port: int, path: str) -> str:
    """Return where a pod's sidecar tells something."""
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}{path}"


class HttpTelemetry:
    """Asks all pods at once, each within a second, a bounded number at a time; ``grew`` is told where load grew or somebody waits."""

    def __init__(self, gates: Gates | None = None, port: int = ADMIN_PORT, grew: Callable[[str], None] = lambda _: None) -> None:
        self._gates = gates or Gates()
        self._port = port
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._scraper = Scraper(self._ask_statistics, now=_now, random=random.SystemRandom().random)
        self._inquirer = Inquirer(self._pose, now=_now)
        self._watcher = Watcher(self._ask_load, now=_now, random=random.SystemRandom().random, grew=grew)
        self._doorbell = Doorbell(self._ask, grew)

    async def __aenter__(self) -> Self:
        """Open the session."""
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End what is asked again and again, and close the session."""
        await asyncio.gather(self._scraper.close(), self._inquirer.close(), self._watcher.close(), self._doorbell.close())
        if self._session:
            await self._session.close()

    async def reports(self, pods: Iterable[Manifest]) -> Mapping[str, SidecarReport | None]:
        """Return a report per pod uid; None for a pod that has no address, does not answer in time, or not with a status."""
        wanted = list(pods)
        answers = await asyncio.gather(*(self._ask(pod) for pod in wanted))
        return {pod["metadata"]["uid"]: answer for pod, answer in zip(wanted, answers, strict=True)}

    def follow(self, deployment: str, pods: Iterable[Manifest], revisions: Collection[str], questions: Iterable[Question]) -> None:
        """Ask these pods again and again for their statistics of some revisions, and others these questions, until told otherwise."""
        self._scraper.follow(deployment, pods, revisions)
        self._inquirer.follow(deployment, questions)

    def watch(
        self, deployment: str, pods: Iterable[Manifest], engines: Mapping[str, Expected], memory: Memory, alarm: Alarm | None = None
    ) -> None:
        """Ask the pods of some engines for their load until told otherwise, keep what the next decision needs, and say when it is due."""
        self._watcher.watch(deployment, pods, engines, memory, alarm)

    def watched(self, deployment: str) -> Watched:
        """Return what the pods that are watched have told so far."""
        return self._watcher.watched(deployment)

    def listen(self, deployment: str, pods: Iterable[Manifest]) -> None:
        """Ask the entry among these pods every second whether somebody waits, until told otherwise."""
        self._doorbell.listen(deployment, pods)

    def statistics(self, deployment: str) -> Mapping[str, Heard]:
        """Return what the pods that are followed have told so far, by pod uid."""
        return self._scraper.heard(deployment)

    def answers(self, deployment: str) -> Mapping[str, tuple[Fetched, ...]]:
        """Return the last answers to the questions about a deployment, by gate."""
        return self._inquirer.answers(deployment)

    async def _ask(self, pod: Manifest) -> SidecarReport | None:
        address = pod.get("status", {}).get("podIP")
        if not address:
            return None
        async with self._slots:
            body = await self._get(url(address, self._port, "/status"), _TIMEOUT, _STATUS_CAP)
        return None if body is None else read_report(body)

    async def _ask_statistics(self, address: str) -> bytes | None:
        return await self._get(url(address, self._port, "/-/stats"), _STATISTICS_TIMEOUT, _STATISTICS_CAP)

    async def _ask_load(self, address: str) -> bytes | None:
        return await self._get(url(address, self._port, "/metrics"), _STATISTICS_TIMEOUT, SIZE_MAX)

    async def _pose(self, question: Question) -> tuple[int, str]:
        return (0, "nobody is asked any more") if self._session is None else await pose(self._session, self._gates, question)

    async def _get(self, where: str, limit: aiohttp.ClientTimeout, cap: int) -> bytes | None:
        """Return a body, or None when there is none in time or one that is longer than any honest answer."""
        if self._session is None:
            return None
        try:
            async with self._session.get(where, allow_redirects=False, timeout=limit) as response:
                return await capped(response.content, cap) if response.status == _OK else None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return None


def _now() -> datetime:
    return datetime.now(UTC)
