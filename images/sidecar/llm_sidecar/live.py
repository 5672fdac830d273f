"""What one generation of the snapshot means to this sidecar: built whole, aside from the requests, and never changed afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from llm_sidecar import table
from llm_sidecar.bundle import Auth, Bundle, BundleError, Limits, decode
from llm_sidecar.compile import Compiled, compile_bundle
from llm_sidecar.table import Route, Table


class UnusableError(Exception):
    """A snapshot that cannot be served, with a reason a program can act on and the generation where that much is known."""

    def __init__(self, reason: str, message: str, generation: int | None) -> None:
        super().__init__(message)
        self.reason = reason
        self.generation = generation


@dataclass(frozen=True, slots=True)
class Live:
    """The table in force and what of it the own engine serves. A request keeps the one it began with.

    ``revision`` is what the own engine is there for, empty where the table gives it nothing; ``name`` is what answers say before one is
    assigned. ``compiled`` holds everything the own engine can serve, ``limits`` those of every revision. ``order`` are the routes a unit
    may end up at, stable first, then by weight; ``only`` is where there is no choice. ``needs_key`` says that one of them
    asks for API keys: then all do, since a request may end up at any of them.
    """

    table: Table
    revision: str
    compiled: Mapping[str, Compiled]
    limits: Mapping[str, Limits]
    routes: Mapping[str, Route]
    order: tuple[Route, ...]
    only: str
    name: bytes
    sources: Mapping[bytes, Compiled]
    needs_key: bool = False

    @property
    def max_body_bytes(self) -> int:
        """Return the size of the largest body that some revision takes."""
        return max((limits.max_body_bytes for limits in self.limits.values()), default=Limits().max_body_bytes)

    @property
    def assignment(self) -> str:
        """Return the salt by which units are assigned; nothing while all belong to one revision."""
        return "" if self.only else self.table.salt

    @property
    def generation(self) -> int:
        """Return the generation of the table."""
        return self.table.generation

    def limits_of(self, revision: str) -> Limits:
        """Return the limits of a revision; a table may name one it has no route for."""
        return self.limits.get(revision) or Limits()

    def assign(self, unit: bytes) -> str:
        """Return the revision a unit belongs to."""
        return self.only or table.assign(self.table, unit)


class _Tolerant(msgspec.Struct):
    limits: Limits = Limits()
    auth: Auth | None = None


_UNREADABLE = _Tolerant(auth=Auth(api_keys="Required"))
_tolerant = msgspec.json.Decoder(_Tolerant)


def load(directory: Path, engine: str, before: Live | None) -> Live:
    """Read a snapshot for one engine, or for none when ``engine`` is empty; raises UnusableError, or OSError when it is not there.

    Every bundle of the own engine must compile, or nothing of the snapshot is used. Bundles that did not change since ``before`` are
    taken from there.
    """
    try:
        found = table.decode((directory / table.TABLE_KEY).read_bytes())
    except table.TableError as error:
        raise UnusableError("BundleError", f"{table.TABLE_KEY}: {error}", None) from error
    if before is not None and found.generation < before.generation:
        raise UnusableError("BundleError", f"generation {found.generation} is older than {before.generation}, which runs", found.generation)
    sources: dict[bytes, Compiled] = {}
    compiled: dict[str, Compiled] = {}
    limits: dict[str, Limits] = {}
    needs_key = False
    for route in found.routes:
        if not engine or route.engine != engine:
            other = _other(directory / route.bundle)
            limits[route.revision] = other.limits
            needs_key |= _needs_key(other)
            continue
        data = _bundle(directory, route, found.generation)
        known = sources.get(data) or (before.sources.get(data) if before is not None else None)
        sources[data] = compiled[route.revision] = known or _compile(data, route, found.generation)
        limits[route.revision] = compiled[route.revision].limits
        needs_key |= _needs_key(compiled[route.revision].bundle)
    own = found.for_engine(engine) if engine else None
    return Live(
        table=found,
        revision=own.revision if own is not None else "",
        compiled=compiled,
        limits=limits,
        routes={route.revision: route for route in found.routes},
        order=_order(found),
        only="" if any(route.slot is not None and route.weight for route in found.routes) else found.stable,
        name=(own.revision if own is not None else found.stable).encode(),
        sources=sources,
        needs_key=needs_key,
    )


def _bundle(directory: Path, route: Route, generation: int) -> bytes:
    try:
        return (directory / route.bundle).read_bytes()
    except FileNotFoundError as error:
        raise UnusableError("BundleError", f"{route.bundle} is missing in generation {generation}", generation) from error


def _compile(data: bytes, route: Route, generation: int) -> Compiled:
    try:
        return compile_bundle(decode(data))
    except BundleError as error:
        raise UnusableError("BundleError", f"{route.bundle}: {error}", generation) from error
    except Exception as error:  # whatever a bundle holds, it must not end the watch
        raise UnusableError("BundleError", f"{route.bundle}: {type(error).__name__}: {error}", generation) from error


def _other(path: Path) -> _Tolerant:
    """Return what the first hop checks of a bundle that another engine serves.

    For one unread the default limits will do, its server checks them again; a key it does not, so one has to be shown.
    """
    try:
        return _tolerant.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return _UNREADABLE


def _needs_key(bundle: Bundle | _Tolerant) -> bool:
    return bundle.auth is not None and bundle.auth.api_keys == "Required"


def _order(found: Table) -> tuple[Route, ...]:
    stable = [route for route in found.routes if route.revision == found.stable]
    rest = [route for route in found.routes if route.revision != found.stable and route.weight > 0]
    return (*stable, *sorted(rest, key=lambda route: -route.weight))
