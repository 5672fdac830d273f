"""The table: which revisions are live, on which engine each runs, and who gets which unit. One key of the snapshot, beside the bundles."""

import hashlib
from pathlib import Path

import msgspec

TABLE_KEY = "table.json"
"""Key of the table in the snapshot ConfigMap, and its file name in the mounted directory."""

PEERS_KEY = "peers.json"
"""Key of the addresses of ready pods. It changes with pods, not with revisions, so it has a counter of its own."""

SCHEMA_VERSION = 1

WHOLE = 10_000
"""The weight of all units together."""


class TableError(ValueError):
    """A table that cannot be used, with what is wrong in words."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class Route(_Part, frozen=True, kw_only=True):
    """One live revision: the engine that runs it and the snapshot key of its bundle. Weight in 1/10000 of all units.

    A challenger of stable has a ``slot``, its home in the assignment, which it keeps for as long as it is one. A route without a slot
    that is not stable is on its way out: it is served to those who ask for it and assigned to nobody.
    """

    revision: str
    engine: str
    bundle: str
    weight: int = 0
    slot: int | None = None


class Engine(_Part, frozen=True, kw_only=True):
    """Where an engine is reached inside its namespace."""

    service: str
    port: int = 8080


class Subject(_Part, frozen=True, kw_only=True):
    """One place where a request says whose it is: a header in small letters, a field at the top of its JSON, or the API key it shows."""

    header: str = ""
    body_field: str = ""
    api_key: bool = False


class Shadow(_Part, frozen=True, kw_only=True):
    """Requests that stable has answered and that are sent to another revision too: a sample in 1/10000, so many at a time from each pod."""

    revision: str
    sample: int
    max_in_flight: int


class Table(_Part, frozen=True, kw_only=True):
    """All live revisions of one deployment. A higher ``generation`` always replaces a lower one.

    ``salt``, the number of ``slots`` and where to look for the ``subject`` stay the same from the first to the last step of a change: then
    a unit never moves between challengers, and raising a weight takes units from stable alone. Of the subjects the first that a request
    has is its unit; one that has none is a unit of its own.
    """

    generation: int
    stable: str
    routes: tuple[Route, ...]
    engines: dict[str, Engine] = {}
    salt: str = ""
    slots: int = 1
    subject: tuple[Subject, ...] = ()
    shadow: Shadow | None = None
    schema_version: int = SCHEMA_VERSION

    def for_engine(self, engine: str) -> Route | None:
        """Return the revision this engine serves: stable where it runs stable, else the first route it has, else none."""
        mine = [route for route in self.routes if route.engine == engine]
        return next((route for route in mine if route.revision == self.stable), mine[0] if mine else None)


class Peers(_Part, frozen=True, kw_only=True):
    """Ready pods per engine as ``address:port``. A hint: an address may be dead by the time it is read.

    ``failed`` says why no engine is there, where one was started and is not ready after all the time it has for that.
    """

    counter: int = 0
    engines: dict[str, tuple[str, ...]] = {}
    failed: str = ""


def assign(table: Table, unit: bytes) -> str:
    """Return the revision a unit belongs to: the challenger whose share of its home slot the unit falls into, else stable.

    Integers only, so that every sidecar gives the same answer: the hash times the number of slots has the slot in its high bits and the
    place within the slot in its low 64.
    """
    digest = hashlib.sha256(table.salt.encode() + b":" + unit).digest()
    slot, place = divmod(int.from_bytes(digest[:8], "big") * table.slots, 1 << 64)
    for route in table.routes:
        if route.slot == slot and place * WHOLE < (route.weight * table.slots) << 64:
            return route.revision
    return table.stable


def bundle_key(revision: str) -> str:
    """Return the snapshot key of a revision's bundle."""
    return f"bundle-{revision}.json"


def encode(table: Table | Peers) -> bytes:
    """Return the table or the peers as JSON with sorted keys: the same table is always the same bytes.

    What has no subjects, copies or failure is what it was before there were any, so that an upgrade writes none anew.
    """
    content = msgspec.to_builtins(table)
    for late in ("subject", "shadow", "failed"):
        if not content.get(late, True):
            del content[late]
    return msgspec.json.encode(content, order="sorted")


def decode(data: bytes) -> Table:
    """Read a table or raise TableError."""
    try:
        table = msgspec.json.decode(data, type=Table)
    except msgspec.DecodeError as error:
        raise TableError(str(error)) from error
    if table.schema_version > SCHEMA_VERSION:
        raise TableError(f"table schema {table.schema_version} is newer than {SCHEMA_VERSION}, the newest this sidecar knows")
    return table


def decode_peers(data: bytes) -> Peers:
    """Read the peers; what cannot be read names nobody, since every engine has a Service too."""
    try:
        return msgspec.json.decode(data, type=Peers)
    except msgspec.DecodeError:
        return Peers()


def read(directory: Path) -> Table:
    """Read the table of a mounted snapshot directory; raises TableError when it is missing or unusable."""
    try:
        return decode((directory / TABLE_KEY).read_bytes())
    except OSError as error:
        raise TableError(f"{directory / TABLE_KEY}: {error.strerror}") from error
