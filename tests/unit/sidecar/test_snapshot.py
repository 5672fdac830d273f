"""The mounted snapshot and what becomes of it."""

import asyncio
from pathlib import Path

import pytest

from llm_sidecar import bundle as bundles
from llm_sidecar import snapshot as snapshots
from llm_sidecar import table
from llm_sidecar.bundle import Bundle, Prompt
from llm_sidecar.snapshot import Snapshot
from tests.unit.sidecar.support.eventually import eventually
from tests.unit.sidecar.support.pod import SnapshotDir


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
        (b'{"schemaVersion": 9}', "schemaVersion: 9 is newer than 1"),
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

    monkeypatch.setattr(snapshots, "compile_bundle", explode)
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


async def test_a_table_without_this_engine_is_acknowledged_and_the_old_revision_stays(snapshot: Snapshot, mounted: SnapshotDir) -> None:
    mounted.write(1, "r9", Bundle(), engine="e9")
    await snapshot.look()
    assert (running(snapshot), snapshot.reason, snapshot.generation) == (None, "NoRoute", None)
    mounted.write(2, "r1", Bundle())
    await snapshot.look()
    mounted.write(3, "r9", Bundle(), engine="e9")
    await snapshot.look()
    assert running(snapshot) == ("r1", 2)
    assert (snapshot.generation, snapshot.error, snapshot.error_generation) == (3, "", None)


async def test_a_new_generation_of_the_same_bundle_is_not_compiled_again(snapshot: Snapshot, mounted: SnapshotDir) -> None:
    mounted.write(1, "r1", Bundle())
    await snapshot.look()
    before = snapshot.live
    mounted.write(2, "r1", Bundle())
    await snapshot.look()
    assert before is not None
    assert snapshot.live is not None
    assert snapshot.live.compiled is before.compiled
    assert running(snapshot) == ("r1", 2)


async def test_files_that_are_swapped_away_under_a_read_are_read_again(snapshot: Snapshot, mounted: SnapshotDir) -> None:
    mounted.publish({})
    await snapshot.look()
    assert snapshot.reason == "NoSnapshot"
    assert "table.json" in snapshot.error
    mounted.write(1, "r1", Bundle())
    await snapshot.look()
    assert running(snapshot) == ("r1", 1)
