"""Which subject gets which revision, as committed: a sidecar of another version must come to the same.

``UPDATE_GOLDEN=1`` rewrites the file.
"""

import json
import os
from pathlib import Path
from typing import Any

from llm_sidecar.statistics import Statistics
from llm_sidecar.table import WHOLE, Route, Table, assign

GOLDEN = Path(__file__).parent / "golden" / "assignment.json"
SUBJECTS = ("", "alice", "bob", "user-42", "ärger", "日本", *(f"user-{number}" for number in range(20)))
SALTS = ("rollout-uid-1", "4tybulfimm", "")
RAMPS = ([100], [1_000], [4_685], [4_686], [5_000], [WHOLE], [2_000, 2_000, 2_000], [500, 2_500, 0, 1_250])


def ramp(weights: list[int], salt: str) -> Table:
    stable = Route(revision="stable", engine="e0", bundle="b", weight=WHOLE - sum(weights))
    arms = [Route(revision=f"arm-{slot}", engine="e1", bundle="b", weight=weight, slot=slot) for slot, weight in enumerate(weights)]
    return Table(generation=1, stable="stable", routes=(stable, *arms), salt=salt, slots=len(weights))


def counted_at(subject: str) -> dict[str, Any]:
    """Return the bucket of a subject in the statistics, and its bit among the units that were seen."""
    statistics = Statistics("chat")
    statistics.record("r1", subject.encode(), failed=False)
    of = json.loads(statistics.expose())["revisions"]["r1"]
    return {"bucket": int(next(iter(of["buckets"]))), "seen": of["seen"].strip("A=")}


def vectors() -> dict[str, Any]:
    assigned = [
        {"salt": salt, "weights": weights, "arms": {each: assign(ramp(weights, salt), each.encode()) for each in SUBJECTS}}
        for salt in SALTS
        for weights in RAMPS
    ]
    return {"assigned": assigned, "counted": {each: counted_at(each) for each in SUBJECTS}}


def test_subjects_are_assigned_and_counted_as_was_committed() -> None:
    text = json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_the_places_of_the_specification_are_kept_to_a_ten_thousandth() -> None:
    """By the specification alice is at 0.468582 of the whole, and the empty subject at 0.048550."""
    for subject, place in ((b"alice", 4_685), (b"", 485), (b"bob", 9_752), (b"user-42", 8_806)):
        assert assign(ramp([place], "rollout-uid-1"), subject) == "stable"
        assert assign(ramp([place + 1], "rollout-uid-1"), subject) == "arm-0"
