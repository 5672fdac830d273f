"""The composition root: builds the parts, runs them in one loop, and leaves in order."""

import asyncio
import logging
import socket

from llm_sidecar import memory
from llm_sidecar.admission import Admission
from llm_sidecar.auth.doorman import Doorman
from llm_sidecar.bodies import Bodies
from llm_sidecar.bundle import Limits
from llm_sidecar.drain import Drain
from llm_sidecar.engine.client import UpstreamClient
from llm_sidecar.engine.health import Health
from llm_sidecar.hop.hold import Hold
from llm_sidecar.hop.pool import Pool
from llm_sidecar.hop.reach import Reach
from llm_sidecar.http.admin import AdminApp
from llm_sidecar.http.engine_metrics import EngineMetrics
from llm_sidecar.http.public import PublicApp
from llm_sidecar.http.server import create, listen
from llm_sidecar.http.services import Own, Services
from llm_sidecar.metrics import Metrics
from llm_sidecar.settings import Settings
from llm_sidecar.shadow.copies import Copies
from llm_sidecar.snapshot import Snapshot

_log = logging.getLogger(__name__)


class Sidecar:
    """One sidecar process."""

    def __init__(self, settings: Settings) -> None:
        own = self._own(settings) if settings.engine else None
        snapshot = Snapshot(settings.snapshot_dir, settings.engine, self._snapshot_changed)
        bodies = Bodies(settings.memory_bytes or memory.limit_bytes())
        pool, hold, token = Pool(), Hold(bodies), settings.pod_token.encode()
        names = settings.deployment, settings.engine, settings.engine_kind, settings.served_name
        metrics = Metrics(*names, latest_names=settings.latest_names)
        self._services = Services(
            served_name=settings.served_name,
            token=token,
            snapshot=snapshot,
            doorman=Doorman(settings.secrets_dir, lambda: snapshot.servers, metrics.keys),
            own=own,
            pool=pool,
            bodies=bodies,
            hold=hold,
            reach=Reach(snapshot, pool, hold, settings.engine, token, lambda: own is not None and own.health.ready),
            drain=Drain(self._inflight, settings.drain_minimum_s, settings.drain_max_stream_s),
            metrics=metrics,
            copies=Copies(snapshot, pool, token, metrics.copies),
        )
        self._public = PublicApp(self._services)
        engine_metrics = EngineMetrics(own.engine) if own is not None else None
        admin = AdminApp(self._services, engine_metrics, settings.deployment, settings.engine, self._inflight)
        self._sockets = (listen(settings.host, settings.port), listen(settings.host, settings.admin_port))
        self._servers = (create(self._public), create(admin))
        self._leaving = asyncio.Event()

    @property
    def ports(self) -> tuple[int, int]:
        """Return the public and the admin port."""
        public, admin = self._sockets
        return _port(public), _port(admin)

    def leave(self) -> None:
        """Start leaving: drain, then close everything."""
        self._leaving.set()

    async def run(self) -> None:
        """Run until ``leave`` was called and everything is closed; raises when a part ends on its own."""
        async with asyncio.TaskGroup() as group:
            parts = (self._services.snapshot, self._services.doorman, self._services.reach)
            watchers = [group.create_task(part.watch()) for part in parts]
            if self._services.own is not None:
                watchers.append(group.create_task(self._services.own.health.watch()))
            for server, bound in zip(self._servers, self._sockets, strict=True):
                group.create_task(server.serve([bound]))
            await self._leaving.wait()
            await self._services.drain.run()
            self._services.copies.close()
            self._public.end_all()
            for server in self._servers:
                server.leave()
            for watcher in watchers:
                watcher.cancel()
        if self._services.own is not None:
            self._services.own.engine.close()
        self._services.pool.close()

    def _own(self, settings: Settings) -> Own:
        engine = UpstreamClient(settings.engine_host, settings.engine_port)
        return Own(engine, Health(engine, settings.served_name, self._inflight), Admission(Limits()))

    def _inflight(self) -> int:
        return self._public.inflight

    def _snapshot_changed(self) -> None:
        live, own = self._services.snapshot.live, self._services.own
        self._services.pool.set_peers(self._services.snapshot.peers)
        self._services.hold.set_failed(self._services.snapshot.peers.failed)
        if live is None:
            return
        self._services.copies.follow(live)
        self._services.bodies.allow(live.max_body_bytes)
        self._services.hold.set_limits(live.limits_of(live.table.stable), self._services.snapshot.ready_of(live.table.stable))
        if own is not None and live.revision:
            own.admission.set_limits(live.limits_of(live.revision))
        self._services.metrics.programmed(live.revision, live.generation, tuple(live.routes), live.assignment)


def _port(bound: socket.socket) -> int:
    return int(bound.getsockname()[1])
