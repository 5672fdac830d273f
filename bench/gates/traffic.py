"""Simulated rollouts: requests of a population of subjects, minute by minute, as the sidecars would report them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import log

import numpy as np
from numpy.typing import NDArray

from llm_operator.core.gates.evidence import Minute, Sightings
from llm_operator.core.gates.sums import BUCKETS, Row

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_BITS = 1 << 14

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Population:
    """Who sends requests. Without ``subjects`` each request is a unit of its own.

    Subjects differ in how much they send (``activity``, the standard deviation of its ln), in how slow their requests are
    (``subject_sigma``, the same) and in whether they meet errors at all (``prone``, the share of those that do). Requests come in bursts of
    a subject, alike in time and mostly in fate.
    """

    name: str
    subjects: int = 0
    activity: float = 0.0
    subject_sigma: float = 0.0
    prone: float = 1.0
    burst: float = 1.0
    burst_sigma: float = 0.0
    shock: float = 0.0
    """Standard deviation of what all requests of a minute have in common, in both arms; with it come two minutes of outage."""


@dataclass(frozen=True)
class Rollout:
    """What is rolled out: the canary's share minute by minute, how much worse it is, and how much traffic there is."""

    shares: tuple[float, ...]
    stable_errors: float = 0.005
    canary_errors: float = 0.005
    slower: float = 1.0
    longer: float = 1.0
    disturbed: float = 1.0
    """How much slower all requests become, in both arms, once the canary has some."""
    per_minute: float = 120.0
    before: int = 30
    """Minutes of stable alone that are known from before."""


@dataclass(frozen=True)
class Requests:
    """All requests of a rollout, in the order of time."""

    minute: Ints
    canary: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    ttft: Floats
    """ln of seconds."""
    tpot: Floats
    prompt: Floats
    bucket: Ints
    bit: Ints
    share: Floats


def simulate(population: Population, rollout: Rollout, rng: np.random.Generator) -> Requests:
    """Return the requests of one rollout, the minutes before it included."""
    share = np.concatenate([np.zeros(rollout.before), rollout.shares])
    subjects = population.subjects or 1
    activity = np.exp(population.activity * rng.standard_normal(subjects))
    activity /= activity.sum()
    bursts = rng.poisson(rollout.per_minute / population.burst, share.size)
    subject = rng.choice(subjects, bursts.sum(), p=activity)
    size = rng.geometric(1 / population.burst, subject.size)
    burst = np.repeat(np.arange(subject.size), size)
    minute = np.repeat(np.arange(share.size), bursts)[burst]
    subject = subject[burst]
    n = subject.size
    unit = subject if population.subjects else np.arange(n)
    units = population.subjects or n
    canary = rng.random(units)[unit] < share[minute]
    common = population.shock * _drift(share.size, rng) + log(rollout.disturbed) * (share > 0)
    alike = (population.subject_sigma * rng.standard_normal(subjects))[subject]
    alike = alike + common[minute] + (population.burst_sigma * rng.standard_normal(bursts.sum()))[burst]
    return Requests(
        minute,
        canary,
        _luck(population, burst, rng) < _rates(population, rollout, activity, subject, canary, minute, rng),
        log(0.4) + alike + 0.6 * rng.standard_normal(n) + log(rollout.slower) * canary,
        log(0.03) + 0.5 * alike + 0.25 * rng.standard_normal(n) + log(rollout.slower) * canary,
        np.rint(np.exp(6 + 0.7 * rng.standard_normal(n) + alike) * np.where(canary, rollout.longer, 1.0)) + 20,
        rng.integers(0, BUCKETS, units)[unit],
        rng.integers(0, _BITS, units)[unit],
        share,
    )


def minutes(found: Requests) -> Iterator[Minute]:
    """Yield the requests as evidence, minute by minute; those before the rollout are the first."""
    ended = ~found.failed
    cells = (found.minute * 2 + found.canary) * BUCKETS + found.bucket
    length = found.share.size * 2 * BUCKETS
    weights = [
        None,
        found.failed,
        *(each for y in (found.ttft, found.tpot) for each in (ended, ended * y, ended * y * y)),
        *(None, found.prompt, found.prompt**2),
    ]
    table = np.stack([np.bincount(cells, each, length) for each in weights], axis=1)
    occupied = np.flatnonzero(table[:, 0])
    arms: list[dict[int, Row]] = [{} for _ in range(found.share.size * 2)]
    for cell, row in zip(occupied.tolist(), table[occupied].tolist(), strict=True):
        arms[cell // BUCKETS][cell % BUCKETS] = Row(*row)
    first = np.unique(found.bit, return_index=True)[1]
    seen = np.bincount(found.minute[first] * 2 + found.canary[first], minlength=found.share.size * 2).tolist()
    for at, share in enumerate(found.share.tolist()):
        yield Minute(BEGIN + timedelta(minutes=at + 1), arms[2 * at + 1], arms[2 * at], share, Sightings(seen[2 * at + 1], seen[2 * at]))


def _drift(length: int, rng: np.random.Generator) -> Floats:
    """Return a course of variance 1 whose neighbours are alike."""
    noise = rng.standard_normal(length)
    for at in range(1, length):
        noise[at] = 0.8 * noise[at - 1] + 0.6 * noise[at]
    return noise


def _luck(population: Population, burst: Ints, rng: np.random.Generator) -> Floats:
    """Return for each request how lucky it is, uniformly: four in five of a burst share theirs."""
    own = rng.random(burst.size)
    if population.burst == 1:
        return own
    return np.where(rng.random(burst.size) < 0.8, rng.random(burst[-1] + 1)[burst], own)


def _rates(
    population: Population,
    rollout: Rollout,
    activity: Floats,
    subject: Ints,
    canary: NDArray[np.bool_],
    minute: Ints,
    rng: np.random.Generator,
) -> Floats:
    """Return how likely each request fails: whoever meets errors meets so many that the rate of all is kept."""
    prone = np.ones(activity.size)
    if population.prone < 1:
        prone = np.zeros(activity.size)
        prone[rng.permutation(activity.size)[: round(population.prone * activity.size)]] = 1.0
        prone /= (activity * prone).sum()
    rate = np.where(canary, rollout.canary_errors, rollout.stable_errors) * prone[subject]
    if population.shock:
        outage = rng.integers(0, minute[-1] + 1, 2)
        rate = rate + 0.1 * np.isin(minute, outage)
    return rate
