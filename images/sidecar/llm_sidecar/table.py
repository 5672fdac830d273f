"""The table: which revisions are live and on which engine each runs. One key of the snapshot, beside the bundles."""

from pathlib import Path

import msgspec

TABLE_KEY = "table.json"
"""Key of the table in the snapshot ConfigMap, and its file name in the mounted directory."""

SCHEMA_VERSION = 1


class TableError(ValueError):
    """A table that cannot be used, with what is wrong in words."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class Route(_Part, frozen=True, kw_only=True):
    """One live revision: the engine that runs it and the snapshot key of its bundle. Weight in 1/10000 of all units."""

    revision: str
    engine: str
    bundle: str
    weight: int = 0


class Engine(_Part, frozen=True, kw_only=True):
    """Where an engine is reached inside its namespace."""

    service: str
    port: int = 8080


class Table(_Part, frozen=True, kw_only=True):
    """All live revisions of one deployment. A higher ``generation`` always replaces a lower one."""

    generation: int
    stable: str
    routes: tuple[Route, ...]
    engines: dict[str, Engine] = {}
    schema_version: int = SCHEMA_VERSION

    def for_engine(self, engine: str) -> Route | None:
        """Return the revision this engine serves: stable where it runs stable, else the first route it has, else none."""
        mine = [route for route in self.routes if route.engine == engine]
        return next((route for route in mine if route.revision == self.stable), mine[0] if mine else None)


def bundle_key(revision: str) -> str:
    """Return the snapshot key of a revision's bundle."""
    return f"bundle-{revision}.json"


def encode(table: Table) -> bytes:
    """Return the table as JSON with sorted keys: the same table is always the same bytes."""
    return msgspec.json.encode(table, order="sorted")


def decode(data: bytes) -> Table:
    """Read a table or raise TableError."""
    try:
        table = msgspec.json.decode(data, type=Table)
    except msgspec.DecodeError as error:
        raise TableError(str(error)) from error
    if table.schema_version > SCHEMA_VERSION:
        raise TableError(f"table schema {table.schema_version} is newer than {SCHEMA_VERSION}, the newest this sidecar knows")
    return table


def read(directory: Path) -> Table:
    """Read the table of a mounted snapshot directory; raises TableError when it is missing or unusable."""
    try:
        return decode((directory / TABLE_KEY).read_bytes())
    except OSError as error:
        raise TableError(f"{directory / TABLE_KEY}: {error.strerror}") from error
