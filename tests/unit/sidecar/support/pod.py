"""A sidecar in front of a scripted engine, with a snapshot directory as the kubelet would keep it."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_sidecar import bundle as bundles
from llm_sidecar import settings, table
from llm_sidecar.app import Sidecar
from llm_sidecar.bundle import Bundle
from tests.unit.sidecar.support.client import Answer, ask, get, post
from tests.unit.sidecar.support.engine import Engine
from tests.unit.sidecar.support.figures import total

TOKEN = "pod-token"
ENGINE = "e1"


class SnapshotDir:
    """A mounted ConfigMap: files behind a ``..data`` link that is swapped as a whole."""

    def __init__(self, path: Path) -> None:
        path.mkdir(exist_ok=True, parents=True)
        self.path = path
        self._number = itertools.count()

    def write(self, generation: int, revision: str, bundle: Bundle | bytes | None, engine: str = ENGINE) -> None:
        """Publish a generation of one revision; bytes are written as they are, None leaves the bundle out."""
        self.write_table(one_route(generation, revision, engine), {revision: bundle})

    def write_table(self, found: table.Table, of: Mapping[str, Bundle | bytes | None], peers: table.Peers | None = None) -> None:
        """Publish a table, the bundles of its revisions, and who is ready."""
        files = {table.TABLE_KEY: table.encode(found)}
        for revision, bundle in of.items():
            if bundle is not None:
                files[table.bundle_key(revision)] = bundle if isinstance(bundle, bytes) else bundles.encode(bundle)
        if peers is not None:
            files[table.PEERS_KEY] = table.encode(peers)
        self.publish(files)

    def publish(self, files: dict[str, bytes]) -> None:
        """Swap in a directory with these files."""
        directory = self.path / f"..{next(self._number)}"
        directory.mkdir(parents=True)
        for name, data in files.items():
            (directory / name).write_bytes(data)
        link = self.path / "..tmp"
        link.symlink_to(directory.name)
        link.rename(self.path / "..data")


def route(revision: str, engine: str = ENGINE, weight: int = table.WHOLE, slot: int | None = None) -> table.Route:
    """Return the route of a revision."""
    return table.Route(revision=revision, engine=engine, bundle=table.bundle_key(revision), weight=weight, slot=slot)


def one_route(generation: int, revision: str, engine: str = ENGINE) -> table.Table:
    """Return a table of one revision whose engine's Service is not there."""
    engines = {engine: table.Engine(service="service.invalid")}
    return table.Table(generation=generation, stable=revision, routes=(route(revision, engine),), engines=engines)


def environment(engine_port: int, snapshot: Path, **changes: str) -> dict[str, str]:
    """Return the environment of a sidecar on free ports."""
    return {
        "LLM_NAMESPACE": "team",
        "LLM_DEPLOYMENT": "chat",
        "LLM_ENGINE": ENGINE,
        "LLM_POD_NAME": "chat-0",
        "LLM_POD_TOKEN": TOKEN,
        "LLM_SERVED_NAME": "chat",
        "LLM_ENGINE_URL": f"http://127.0.0.1:{engine_port}",
        "LLM_SNAPSHOT_DIR": str(snapshot),
        "LLM_DRAIN_MINIMUM_S": "0",
        "LLM_DRAIN_MAX_STREAM_S": "5",
        "LLM_LISTEN_HOST": "127.0.0.1",
        "LLM_PORT": "0",
        "LLM_ADMIN_PORT": "0",
        **changes,
    }


@dataclass
class Pod:
    """A running sidecar and what surrounds it."""

    sidecar: Sidecar
    engine: Engine
    snapshot: SnapshotDir
    port: int
    admin: int

    async def post(self, path: str, body: Any, *headers: str) -> Answer:
        return await ask(self.port, post(path, body, *headers))

    async def get(self, path: str, *headers: str) -> Answer:
        return await ask(self.port, get(path, *headers))

    async def admin_get(self, path: str, *headers: str) -> Answer:
        return await ask(self.admin, get(path, *headers))

    async def status(self) -> dict[str, Any]:
        return dict(json.loads((await self.admin_get("/status")).body))

    async def until(self, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 10.0) -> dict[str, Any]:
        """Wait until the status fulfils a condition."""
        end = asyncio.get_running_loop().time() + timeout_s
        while asyncio.get_running_loop().time() < end:
            status = await self.status()
            if condition(status):
                return status
            await asyncio.sleep(0.01)
        raise AssertionError(f"the status stayed {status}")

    async def figure(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        return total((await self.admin_get("/metrics")).body.decode(), name)


def hastened(sidecar: Sidecar) -> Sidecar:
    """Return a sidecar that looks ten times as often as in a pod at what surrounds it: tests wait for what it sees."""
    services = sidecar._services
    services.snapshot._poll_s, services.doorman._poll_s = 0.01, 0.1
    services.reach._period_s, services.reach._held_period_s = 0.1, 0.025
    if services.own is not None:
        services.own.health._period_s = 0.1
    return sidecar


@contextlib.asynccontextmanager
async def pod_running(
    path: Path, engine: Engine, bundle: Bundle | bytes | None, *, ready: bool = True, **changes: str
) -> AsyncIterator[Pod]:
    """Run a sidecar; with a bundle and ``ready`` it is waited for."""
    snapshot = SnapshotDir(path)
    if bundle is not None:
        snapshot.write(1, "r1", bundle)
    sidecar = hastened(Sidecar(settings.read(environment(engine.port, path, **changes))))
    running = asyncio.create_task(sidecar.run())
    pod = Pod(sidecar, engine, snapshot, *sidecar.ports)
    try:
        if ready and bundle is not None:
            await pod.until(lambda status: bool(status["ready"]))
        yield pod
    finally:
        sidecar.leave()
        async with asyncio.timeout(20):
            await running
