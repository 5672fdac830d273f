"""The table tells each engine what it serves."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar import table
from llm_sidecar.table import WHOLE, Engine, Peers, Route, Table, TableError, assign


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


def ramp(*weights: int, salt: str = "rollout-uid-1") -> Table:
    """Return a table of stable ``r0`` and one challenger per weight, each in the slot of its place."""
    stable = Route(revision="r0", engine="e0", bundle="b0", weight=WHOLE - sum(weights))
    routes = [Route(revision=f"r{slot + 1}", engine="e1", bundle="b", weight=weight, slot=slot) for slot, weight in enumerate(weights)]
    return Table(generation=1, stable="r0", routes=(stable, *routes), salt=salt, slots=len(weights) or 1)


@pytest.mark.parametrize(
    ("unit", "at_10", "at_50", "of_three"),
    [("alice", "r0", "r1", "r2"), ("bob", "r0", "r0", "r0"), ("user-42", "r0", "r0", "r0"), ("", "r1", "r1", "r1")],
)
def test_the_golden_units_are_assigned_as_they_always_were(unit: str, at_10: str, at_50: str, of_three: str) -> None:
    assert assign(ramp(1_000), unit.encode()) == at_10
    assert assign(ramp(5_000), unit.encode()) == at_50
    assert assign(ramp(2_000, 2_000, 2_000), unit.encode()) == of_three


@given(st.binary(max_size=40), st.lists(st.integers(0, 2_500), min_size=1, max_size=4), st.data())
def test_raising_a_weight_never_moves_a_unit_between_challengers(unit: bytes, weights: list[int], data: st.DataObject) -> None:
    most = WHOLE // len(weights)
    raised = [data.draw(st.integers(weight, most)) for weight in weights]
    before, after = assign(ramp(*weights), unit), assign(ramp(*raised), unit)
    assert before in {"r0", after}


def test_shares_are_what_the_weights_say() -> None:
    found = [assign(ramp(1_000), str(number).encode()) for number in range(20_000)]
    assert 0.09 < found.count("r1") / len(found) < 0.11


@given(st.binary(max_size=40))
def test_a_challenger_with_the_whole_weight_gets_every_unit(unit: bytes) -> None:
    assert assign(ramp(WHOLE), unit) == "r1"
    assert assign(ramp(0), unit) == "r0"


def test_peers_that_cannot_be_read_name_nobody() -> None:
    peers = Peers(counter=3, engines={"e1": ("10.0.0.1:8080",)})
    assert table.decode_peers(table.encode(peers)) == peers
    assert table.decode_peers(b"{") == Peers()
