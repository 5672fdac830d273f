"""A study: many simulated rollouts of one kind, each judged every minute, and what came of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from bench.gates import peers
from bench.gates.traffic import Population, Rollout, minutes, simulate
from llm_operator.core.gates.decision import Gate, judge
from llm_operator.core.gates.evidence import Evidence, baseline
from llm_operator.core.gates.verdict import Verdict

WARM_UP = 20


@dataclass(frozen=True)
class Study:
    """Some of a kind: ``seed`` tells the runs apart, so parts of a study may run anywhere, in any order."""

    name: str
    population: Population
    rollout: Rollout
    gates: tuple[Gate, ...]
    seeds: range
    with_peers: int = 0
    """In how many of the runs the peers are asked too: they take longer than the gates."""
    to_the_end: bool = False
    """Whether a gate is asked on after its first answer, to count every wrong one."""


@dataclass(frozen=True)
class First:
    """When a gate first gave an answer."""

    minute: int
    requests: int


@dataclass
class Outcome:
    """What one run came to, by gate: its first Pass and its first Harm, and which peers would have aborted."""

    passed: dict[str, First] = field(default_factory=dict)
    harmed: dict[str, First] = field(default_factory=dict)
    peers: dict[str, bool] = field(default_factory=dict)


def run(study: Study) -> list[Outcome]:
    """Run a study, or a part of it."""
    return [_run(study, seed) for seed in study.seeds]


def _run(study: Study, seed: int) -> Outcome:
    found = simulate(study.population, study.rollout, np.random.default_rng([seed, *study.name.encode()]))
    before = study.rollout.before
    course = list(minutes(found))
    evidence = Evidence(warm_up=WARM_UP, before=baseline([each.stable for each in course[:before]]))
    outcome = Outcome()
    for at, minute in enumerate(course[before:], 1):
        evidence = evidence.add(minute)
        for result in judge(study.gates, evidence, minute.end):
            first = outcome.passed if result.verdict is Verdict.PASS else outcome.harmed if result.verdict is Verdict.HARM else {}
            first.setdefault(result.gate, First(at, int(sum(evidence.canary.n))))
        if not study.to_the_end and all(each.name in outcome.passed.keys() | outcome.harmed.keys() for each in study.gates):
            break
    if seed < study.with_peers:
        outcome.peers = peers.aborts(found, before)
    return outcome


def share(outcomes: Sequence[Outcome], gate: str, *, harm: bool) -> float:
    """Return in which part of the runs a gate ever gave an answer."""
    return sum(gate in (each.harmed if harm else each.passed) for each in outcomes) / len(outcomes)


def typical(firsts: Sequence[First]) -> tuple[float, float] | None:
    """Return the medians of minutes and of the canary's requests until an answer."""
    return (median(each.minute for each in firsts), median(each.requests for each in firsts)) if firsts else None
