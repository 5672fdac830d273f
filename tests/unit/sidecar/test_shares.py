"""Subjects over ramps: every arm has the share its weight says, and nobody moves without need."""

import os
import random
from collections import Counter

import pytest

from llm_sidecar.table import WHOLE, Route, Table, assign

SUBJECTS = [f"user-{number}".encode() for number in range(20_000)]
FEW = SUBJECTS[:2_000]
POINT = 0.01
_USUAL = 3
_RAMPS = int(os.environ.get("RAMPS", _USUAL))


def ramp(weights: list[int], salt: str) -> Table:
    stable = Route(revision="stable", engine="e0", bundle="b", weight=WHOLE - sum(weights))
    arms = [Route(revision=f"arm-{slot}", engine="e1", bundle="b", weight=weight, slot=slot) for slot, weight in enumerate(weights)]
    return Table(generation=1, stable="stable", routes=(stable, *arms), salt=salt, slots=len(weights))


def assigned(weights: list[int], salt: str, subjects: list[bytes]) -> list[str]:
    table = ramp(weights, salt)
    return [assign(table, subject) for subject in subjects]


def forbidden(before: list[str], after: list[str], was: list[int], now: list[int]) -> int:
    """Count the moves that no change of weight asks for: only from stable to an arm that grew, and from an arm that shrank to stable."""
    rose = {f"arm-{slot}" for slot, (old, new) in enumerate(zip(was, now, strict=True)) if new > old}
    fell = {f"arm-{slot}" for slot, (old, new) in enumerate(zip(was, now, strict=True)) if new < old}
    allowed = {("stable", arm) for arm in rose} | {(arm, "stable") for arm in fell}
    return sum(pair[0] != pair[1] and pair not in allowed for pair in zip(before, after, strict=True))


def worst(found: list[str], weights: list[int]) -> float:
    """Return the largest distance of a share from its weight."""
    counts = Counter(found)
    wanted = {"stable": 1 - sum(weights) / WHOLE} | {f"arm-{slot}": weight / WHOLE for slot, weight in enumerate(weights)}
    return max(abs(counts[arm] / len(found) - share) for arm, share in wanted.items())


def test_twenty_thousand_subjects_have_the_shares_of_a_canary_at_every_step_and_only_join_it() -> None:
    steps = [0, 100, 500, 1_000, 2_500, 5_000, WHOLE]
    before, was = assigned([0], "rollout-1", SUBJECTS), 0
    for weight in steps:
        after = assigned([weight], "rollout-1", SUBJECTS)
        expected = len(SUBJECTS) * weight / WHOLE
        assert worst(after, [weight]) < POINT
        if 0 < weight < WHOLE:
            chi_squared = (after.count("arm-0") - expected) ** 2 / expected / (1 - weight / WHOLE)
            assert chi_squared < 10.8, f"at {weight} no chance of one in a thousand explains it"
        assert forbidden(before, after, [was], [weight]) == 0
        before, was = after, weight


@pytest.mark.component
@pytest.mark.parametrize("arms", [2, 3, 4])
def test_over_any_ramp_of_several_arms_shares_are_exact_and_nobody_moves_between_arms(arms: int) -> None:
    for seed in range(_RAMPS):
        dice = random.Random(1_000 * arms + seed)  # noqa: S311  # a ramp, no secret
        subjects = SUBJECTS if seed == 0 or _RAMPS > _USUAL else FEW
        salt, was = f"rollout-{arms}-{seed}", [0] * arms
        before = assigned(was, salt, subjects)
        for _ in range(4):
            now = [dice.randint(0, WHOLE // arms) for _ in range(arms)]
            after = assigned(now, salt, subjects)
            assert forbidden(before, after, was, now) == 0
            if subjects is SUBJECTS:
                assert worst(after, now) < POINT
            before, was = after, now


def test_the_cumulative_layout_would_move_subjects_between_arms_and_is_found_out() -> None:
    def cumulative(weights: list[int]) -> list[str]:
        edges = [(f"arm-{slot}", sum(weights[: slot + 1])) for slot in range(len(weights))]
        at = [random.Random(subject).randrange(WHOLE) for subject in FEW]  # noqa: S311  # any fixed place will do
        return [next((arm for arm, edge in edges if place < edge), "stable") for place in at]

    assert forbidden(cumulative([500, 500]), cumulative([1_000, 1_000]), [500, 500], [1_000, 1_000]) > 0


def test_with_another_salt_the_next_change_begins_with_other_subjects() -> None:
    first, second = ({subject for subject in SUBJECTS if assign(ramp([1_000], salt), subject) == "arm-0"} for salt in ("one", "two"))
    overlap = len(first & second) / len(first)
    assert 0.07 < overlap < 0.13
