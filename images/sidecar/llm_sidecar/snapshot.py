"""The mounted snapshot: watched, compiled aside, and swapped in by one assignment. What cannot run is reported, never served."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from llm_sidecar import table
from llm_sidecar.live import Live, UnusableError, load
from llm_sidecar.table import Peers, decode_peers

_log = logging.getLogger(__name__)
_LINK = "..data"  # the kubelet swaps this link, so everything behind it changes at once


class Snapshot:
    """Watches one directory for one engine, or for a sidecar without one when ``engine`` is empty."""

    def __init__(self, directory: Path, engine: str, changed: Callable[[], None], poll_s: float = 0.1) -> None:
        self._directory = directory
        self._engine = engine
        self._changed = changed
        self._poll_s = poll_s
        self._seen: str | None = None
        self.live: Live | None = None
        self.peers = Peers()
        self.servers = 1
        """How many sidecars with an engine are known to take requests; one that is alone is not told of itself."""
        self.reason = "NoSnapshot"
        self.error = "no snapshot has been read yet"
        self.error_generation: int | None = None

    @property
    def generation(self) -> int | None:
        """Return the generation that runs."""
        return self.live.generation if self.live is not None else None

    def ready_of(self, revision: str) -> int:
        """Return how many pods of the engine that serves a revision are known to be ready: none, until the operator has told of one."""
        route = self.live.routes.get(revision) if self.live is not None else None
        return len(self.peers.engines.get(route.engine, ())) if route is not None else 0

    @property
    def serves(self) -> bool:
        """Return whether there is a table with a part in it for this sidecar: a revision for its engine, if it has one."""
        return self.live is not None and (bool(self.live.compiled) or not self._engine)

    async def watch(self) -> None:
        """Follow the directory until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._poll_s)

    async def look(self) -> None:
        """Read the snapshot if it changed since the last look."""
        version = self._version()
        if version is None or version == self._seen:
            return
        # Resolved once, so that table, bundles and peers come from the same swap.
        directory = (self._directory / _LINK).resolve() if (self._directory / _LINK).is_symlink() else self._directory
        try:
            self.peers = await asyncio.to_thread(_peers, directory)
            self.servers = max(1, sum(map(len, self.peers.engines.values())))
            live = await asyncio.to_thread(load, directory, self._engine, self.live)
        except OSError as error:
            # The kubelet may swap the directory under a read: the next look sees the new one.
            self._report("NoSnapshot", f"{error.filename}: {error.strerror}", None)
            return
        except UnusableError as error:
            self._seen = version
            self._report(error.reason, str(error), error.generation)
            return
        self._seen = version
        self._swap(live)

    def _version(self) -> str | None:
        try:
            return str((self._directory / _LINK).readlink())
        except OSError:
            pass
        with contextlib.suppress(OSError):
            status = (self._directory / table.TABLE_KEY).stat()
            return f"{status.st_ino}-{status.st_mtime_ns}"
        return None

    def _swap(self, live: Live) -> None:
        before, self.live = self.live, live
        self.reason, self.error, self.error_generation = "", "", None
        if before is None or before.table != live.table:
            old = before.generation if before is not None else "none"
            _log.info("serving generation=%d revisions=%s before=%s", live.generation, ",".join(live.compiled) or "none", old)
        self._changed()

    def _report(self, reason: str, message: str, generation: int | None) -> None:
        if message != self.error:
            _log.error("snapshot not used reason=%s generation=%s: %s", reason, generation, message)
        self.reason, self.error, self.error_generation = reason, message, generation
        self._changed()


def _peers(directory: Path) -> Peers:
    try:
        return decode_peers((directory / table.PEERS_KEY).read_bytes())
    except OSError:  # there are none until the first pod is ready
        return Peers()
