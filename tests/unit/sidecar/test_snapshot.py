"""The mounted snapshot and what becomes of it."""

import asyncio
from pathlib import Path

import pytest

from llm_sidecar import bundle as bundles
from llm_sidecar import live, table
from llm_sidecar.bundle import Bundle, Limits, Prompt
from llm_sidecar.snapshot import Snapshot
from llm_sidecar.table import Peers
from tests.unit.sidecar.support.eventually import eventually
from tests.unit.sidecar.support.pod import SnapshotDir, route


@pytest.fixture
def mounted(tmp_path: Path) -> SnapshotDir:
    return SnapshotDir(tmp_path / "snapshot")


@pytest.fixture
def changes() -> list[None]:
    return []


@pytest.fixture
def snapshot(mounted: SnapshotDir, changes: list[None]) -> Snapshot:
    return Snapshot(mounted.path, "e1", lambda: changes.append(None), poll_s=0.01)


def running(snapshot: Snapshot) -> tuple[str, int] | None:
    return (snapshot.live.revision, snapshot.live.generation) if snapshot.live is not None else None


async def test_the_revision_of_the_engine_is_served(snapshot: Snapshot, mounted: SnapshotDir, changes: list[None]) -> None:
    mounted.write(4, "r1", Bundle(prompt=Prompt(system="hi")))
    await snapshot.look()
    assert running(snapshot) == ("r1", 4)
    assert (snapshot.reason, snapshot.error, snapshot.error_generation) == ("", "", None)
    assert len(changes) == 1
    await snapshot.look()
    assert len(changes) == 1


async def test_nothing_mounted_is_no_error_to_stop_at(snapshot: Snapshot) -> None:
    await snapshot.look()
    assert (running(snapshot), snapshot.reason) == (None, "NoSnapshot")


async def test_a_swap_is_seen_by_the_watch(snapshot: Snapshot, mounted: SnapshotDir) -> None:
    mounted.write(1, "r1", Bundle())
    watching = asyncio.create_task(snapshot.watch())
    for generation in range(2, 6):
        mounted.write(generation, f"r{generation}", Bundle())
        wanted = (f"r{generation}", generation)
        await eventually(lambda wanted=wanted: running(snapshot) == wanted, "the swap")  # type: ignore[misc]  # mypy cannot infer the default
    watching.cancel()


async def test_plain_files_are_watched_too(snapshot: Snapshot, mounted: SnapshotDir) -> None:
    route = table.Route(revision="r1", engine="e1", bundle="bundle-r1.json")
    (mounted.path / "bundle-r1.json").write_bytes(bundles.encode(Bundle()))
    (mounted.path / "table.json").write_bytes(table.encode(table.Table(generation=1, stable="r1", routes=(route,))))
    await snapshot.look()
    assert running(snapshot) == ("r1", 1)


@pytest.mark.parametrize(
    ("bundle", "words"),
    [
        (Bundle(prompt=Prompt(template="no")), "prompt.template: the template never uses"),
        (b'{"schemaVersion": 9}', "schemaVersion: 9 is newer than 3"),
        (b"\xff\xfe", "not JSON"),
        (None, "bundle-r2.json is missing in generation 2"),
    ],
)
async def test_a_bundle_that_cannot_run_is_never_served(
    snapshot: Snapshot, mounted: SnapshotDir, bundle: Bundle | bytes | None, words: str
) -> None:
    mounted.write(2, "r2", bundle)
    await snapshot.look()
    assert (running(snapshot), snapshot.reason, snapshot.error_generation) == (None, "BundleError", 2)
    assert words in snapshot.error
    mounted.write(3, "r1", Bundle())
    await snapshot.look()
    mounted.write(4, "r2", bundle)
    await snapshot.look()
    assert running(snapshot) == ("r1", 3)
    assert (snapshot.generation, snapshot.error_generation) == (3, 4)


async def test_a_failure_nobody_thought_of_does_not_end_the_watch(
    snapshot: Snapshot, mounted: SnapshotDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(_bundle: Bundle) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(live, "compile_bundle", explode)
    mounted.write(1, "r1", Bundle())
    await snapshot.look()
    assert (snapshot.reason, "RuntimeError: boom" in snapshot.error) == ("BundleError", True)


async def test_an_unreadable_table_is_reported(snapshot: Snapshot, mounted: SnapshotDir) -> None:
    mounted.publish({"table.json": b"{}"})
    await snapshot.look()
    assert snapshot.reason == "BundleError"
    assert snapshot.error.startswith("table.json: ")


async def test_an_older_generation_is_refused(snapshot: Snapshot, mounted: SnapshotDir) -> None:
    mounted.write(5, "r5", Bundle())
    await snapshot.look()
    mounted.write(4, "r4", Bundle())
    await snapshot.look()
    assert running(snapshot) == ("r5", 5)
    assert (snapshot.error_generation, snapshot.error) == (4, "generation 4 is older than 5, which runs")


async def test_a_table_without_this_engine_is_acknowledged_and_serves_nothing_here(snapshot: Snapshot, mounted: SnapshotDir) -> None:
    mounted.write(1, "r9", Bundle(), engine="e9")
    await snapshot.look()
    assert (running(snapshot), snapshot.serves, snapshot.error) == (("", 1), False, "")
    mounted.write(2, "r1", Bundle())
    await snapshot.look()
    assert (running(snapshot), snapshot.serves) == (("r1", 2), True)
    before = snapshot.live
    mounted.write(3, "r9", Bundle(), engine="e9")
    await snapshot.look()
    assert (running(snapshot), snapshot.serves, snapshot.error) == (("", 3), False, "")
    assert before is not None
    assert set(before.compiled) == {"r1"}  # what runs keeps it


async def test_a_new_generation_of_the_same_bundle_is_not_compiled_again(snapshot: Snapshot, mounted: SnapshotDir) -> None:
    mounted.write(1, "r1", Bundle())
    await snapshot.look()
    before = snapshot.live
    mounted.write(2, "r1", Bundle())
    await snapshot.look()
    assert before is not None
    assert snapshot.live is not None
    assert snapshot.live.compiled["r1"] is before.compiled["r1"]
    assert running(snapshot) == ("r1", 2)


async def test_files_that_are_swapped_away_under_a_read_are_read_again(snapshot: Snapshot, mounted: SnapshotDir) -> None:
    mounted.publish({})
    await snapshot.look()
    assert snapshot.reason == "NoSnapshot"
    assert "table.json" in snapshot.error
    mounted.write(1, "r1", Bundle())
    await snapshot.look()
    assert running(snapshot) == ("r1", 1)


def two_revisions(generation: int, weight: int = 0, engine: str = "e1") -> table.Table:
    routes = (route("r1"), route("r2", engine, weight, slot=0 if weight else None))
    return table.Table(generation=generation, stable="r1", routes=routes, salt="s")


async def test_every_revision_of_the_engine_can_be_served(snapshot: Snapshot, mounted: SnapshotDir) -> None:
    mounted.write_table(two_revisions(1), {"r1": Bundle(), "r2": Bundle(prompt=Prompt(system="two"))})
    await snapshot.look()
    assert snapshot.live is not None
    assert set(snapshot.live.compiled) == {"r1", "r2"}
    assert snapshot.live.revision == "r1"
    assert snapshot.live.compiled["r2"].prompt is not None


async def test_one_bundle_that_fails_keeps_the_whole_old_table(snapshot: Snapshot, mounted: SnapshotDir) -> None:
    mounted.write(1, "r1", Bundle())
    await snapshot.look()
    before = snapshot.live
    mounted.write_table(two_revisions(2), {"r1": Bundle(), "r2": Bundle(prompt=Prompt(template="no"))})
    await snapshot.look()
    assert snapshot.live is before
    assert (snapshot.reason, snapshot.error_generation) == ("BundleError", 2)


async def test_a_bundle_of_another_engine_only_tells_its_limits(snapshot: Snapshot, mounted: SnapshotDir) -> None:
    found = two_revisions(1, engine="e2")
    cases: list[tuple[Bundle | bytes | None, int]] = [
        (Bundle(limits=Limits(max_body_bytes=9)), 9),
        (b'{"schemaVersion": 99, "limits": {"maxBodyBytes": 9}, "new": 1}', 9),
        (b'{"limits": {"unheardOf": 9}}', Limits().max_body_bytes),
        (Bundle(prompt=Prompt(template="no")), Limits().max_body_bytes),
        (None, Limits().max_body_bytes),
    ]
    for theirs, body_bytes in cases:
        mounted.write_table(found, {"r1": Bundle(), "r2": theirs})
        await snapshot.look()
        assert snapshot.live is not None
        assert (set(snapshot.live.compiled), snapshot.error) == ({"r1"}, "")
        assert snapshot.live.limits["r2"].max_body_bytes == body_bytes


async def test_a_sidecar_without_an_engine_runs_any_table_and_compiles_nothing(mounted: SnapshotDir) -> None:
    snapshot = Snapshot(mounted.path, "", lambda: None)
    mounted.write_table(two_revisions(1), {"r1": Bundle(limits=Limits(hold_requests=5)), "r2": b"\xff"})
    await snapshot.look()
    assert snapshot.live is not None
    assert (dict(snapshot.live.compiled), snapshot.serves) == ({}, True)
    assert snapshot.live.limits["r1"].hold_requests == 5


async def test_units_go_by_weight_and_to_stable_without_a_challenger(snapshot: Snapshot, mounted: SnapshotDir) -> None:
    both = {"r1": Bundle(), "r2": Bundle()}
    mounted.write_table(two_revisions(1), both)
    await snapshot.look()
    assert snapshot.live is not None
    assert {snapshot.live.assign(bytes([unit])) for unit in range(50)} == {"r1"}
    assert [each.revision for each in snapshot.live.order] == ["r1"]
    mounted.write_table(two_revisions(2, weight=5000), both)
    await snapshot.look()
    assert snapshot.live is not None
    assert {snapshot.live.assign(bytes([unit])) for unit in range(50)} == {"r1", "r2"}
    assert [each.revision for each in snapshot.live.order] == ["r1", "r2"]


async def test_peers_change_without_a_new_generation(snapshot: Snapshot, mounted: SnapshotDir, changes: list[None]) -> None:
    mounted.write_table(two_revisions(1), {"r1": Bundle(), "r2": Bundle()})
    await snapshot.look()
    assert snapshot.peers.engines == {}
    mounted.write_table(two_revisions(1), {"r1": Bundle(), "r2": Bundle()}, Peers(engines={"e2": ("10.0.0.1:8080",)}))
    await snapshot.look()
    assert snapshot.peers.engines == {"e2": ("10.0.0.1:8080",)}
    assert len(changes) == 2
