"""The mounted snapshot: watched, compiled aside, and swapped in by one assignment. What cannot run is reported, never served."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llm_sidecar import table
from llm_sidecar.bundle import BundleError, decode
from llm_sidecar.compile import Compiled, compile_bundle

_log = logging.getLogger(__name__)
_LINK = "..data"  # the kubelet swaps this link, so everything behind it changes at once


@dataclass(frozen=True, slots=True)
class Live:
    """What is served now. A request keeps the one it began with."""

    revision: str
    generation: int
    compiled: Compiled


class _Unusable(Exception):  # noqa: N818  # an outcome carried across a thread
    def __init__(self, reason: str, message: str, generation: int | None) -> None:
        super().__init__(message)
        self.reason = reason
        self.generation = generation


class Snapshot:
    """Watches one directory for the revision of one engine."""

    def __init__(self, directory: Path, engine: str, changed: Callable[[], None], poll_s: float = 0.1) -> None:
        self._directory = directory
        self._engine = engine
        self._changed = changed
        self._poll_s = poll_s
        self._seen: str | None = None
        self._bytes = b""
        self.live: Live | None = None
        self.generation: int | None = None
        self.reason = "NoSnapshot"
        self.error = "no snapshot has been read yet"
        self.error_generation: int | None = None

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
        try:
            live, data = await asyncio.to_thread(self._load)
        except OSError as error:
            # The kubelet may swap the directory under a read: the next look sees the new one.
            self._report("NoSnapshot", f"{error.filename}: {error.strerror}", None)
            return
        except _Unusable as error:
            self._seen = version
            self._report(error.reason, str(error), error.generation)
            return
        self._seen = version
        self._swap(live, data)

    def _version(self) -> str | None:
        try:
            return str((self._directory / _LINK).readlink())
        except OSError:
            pass
        with contextlib.suppress(OSError):
            status = (self._directory / table.TABLE_KEY).stat()
            return f"{status.st_ino}-{status.st_mtime_ns}"
        return None

    def _load(self) -> tuple[Live, bytes]:
        # Resolved once, so that table and bundle come from the same swap.
        directory = (self._directory / _LINK).resolve() if (self._directory / _LINK).is_symlink() else self._directory
        try:
            found = table.decode((directory / table.TABLE_KEY).read_bytes())
        except table.TableError as error:
            raise _Unusable("BundleError", f"{table.TABLE_KEY}: {error}", None) from error
        generation = found.generation
        if self.generation is not None and generation < self.generation:
            raise _Unusable("BundleError", f"generation {generation} is older than {self.generation}, which runs", generation)
        route = found.for_engine(self._engine)
        if route is None:
            raise _Unusable("NoRoute", f"generation {generation} gives this engine, {self._engine}, no revision", generation)
        try:
            data = (directory / route.bundle).read_bytes()
        except FileNotFoundError as error:
            raise _Unusable("BundleError", f"{route.bundle} is missing in generation {generation}", generation) from error
        if self.live is not None and self.live.revision == route.revision and data == self._bytes:
            return Live(route.revision, generation, self.live.compiled), data
        try:
            return Live(route.revision, generation, compile_bundle(decode(data))), data
        except BundleError as error:
            raise _Unusable("BundleError", f"{route.bundle}: {error}", generation) from error
        except Exception as error:  # whatever a bundle holds, it must not end the watch
            raise _Unusable("BundleError", f"{route.bundle}: {type(error).__name__}: {error}", generation) from error

    def _swap(self, live: Live, data: bytes) -> None:
        previous = self.live
        self.live, self._bytes = live, data
        self.generation = live.generation
        self.reason, self.error, self.error_generation = "", "", None
        _log.info("serving revision=%s generation=%d before=%s", live.revision, live.generation, previous.revision if previous else "none")
        self._changed()

    def _report(self, reason: str, message: str, generation: int | None) -> None:
        if message != self.error:
            _log.error("snapshot not used reason=%s generation=%s: %s", reason, generation, message)
        self.reason, self.error, self.error_generation = reason, message, generation
        if reason == "NoRoute" and generation is not None and self.live is not None:
            # The table was taken; this engine only has no part in it any more and finishes what it has.
            self.generation, self.error, self.error_generation = generation, "", None
        self._changed()
