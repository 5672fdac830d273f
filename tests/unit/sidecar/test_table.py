"""The table tells each engine what it serves."""

from pathlib import Path

import pytest

from llm_sidecar import table
from llm_sidecar.table import Engine, Route, Table, TableError


def make_table(*routes: tuple[str, str], stable: str = "r1") -> Table:
    return Table(
        generation=7,
        stable=stable,
        routes=tuple(Route(revision=revision, engine=engine, bundle=table.bundle_key(revision)) for revision, engine in routes),
        engines={engine: Engine(service=f"chat-{engine}") for _, engine in routes},
    )


def test_an_engine_serves_stable_where_it_runs_stable() -> None:
    found = make_table(("r2", "e1"), ("r1", "e1")).for_engine("e1")
    assert found is not None
    assert found.revision == "r1"


def test_another_engine_serves_its_own_first_route() -> None:
    found = make_table(("r1", "e1"), ("r2", "e2"), ("r3", "e2")).for_engine("e2")
    assert found is not None
    assert found.revision == "r2"


def test_an_engine_without_a_route_serves_nothing() -> None:
    assert make_table(("r1", "e1")).for_engine("e9") is None


def test_a_table_read_back_is_the_same(tmp_path: Path) -> None:
    value = make_table(("r1", "e1"), ("r2", "e2"))
    (tmp_path / table.TABLE_KEY).write_bytes(table.encode(value))
    assert table.read(tmp_path) == value


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"generation":"1"}', table.encode(make_table()).replace(b'"schemaVersion":1', b'"schemaVersion":2')]
)
def test_an_unusable_table_is_refused(data: bytes) -> None:
    with pytest.raises(TableError):
        table.decode(data)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"table\.json"):
        table.read(tmp_path)
