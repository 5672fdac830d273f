"""A simulated fleet: pods of one engine or two under load, and the operator that looks at them, from figures to the number of pods."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import ceil

from llm_operator.core.scaling.decide import Decision, Fleet, Memory, Rules, decide
from llm_operator.core.scaling.exposition import SampleError
from llm_operator.core.scaling.load import HEARD_MIN, STALE_AFTER, Blind, Track
from llm_operator.core.scaling.need import PREFILL_SHARE, Need
from llm_operator.core.scaling.outlook import Outlook
from llm_operator.core.scaling.sample import Sample, sample
from tests.unit.core.scaling.pods import CAPACITY, EXPECTED, at, reading
from tests.unit.core.scaling.spoiled import BAD, text

TURN_S = 5
STARTUP_S = 60
RULES = Rules(least=1, most=12, hold=timedelta(seconds=120))
PROMPT = int(CAPACITY.prompt_tokens)
PER_TURN = CAPACITY.prefill_tokens_per_s / PROMPT * TURN_S
"""Requests that a pod begins in a turn."""
STABLE, CANARY = "stable", "canary"


@dataclass
class Pod:
    """A pod that begins what it can and lets the rest wait. It tells what it has begun beyond ``since``, counting from ``since_s`` on."""

    number: int
    engine: str
    comes_s: float
    waiting: float = 0.0
    begun: float = 0.0
    running: float = 0.0
    since: float = 0.0
    since_s: float = 0.0

    @property
    def uid(self) -> str:
        return str(self.number)

    def work(self, requests: float) -> None:
        begins = min(self.waiting + requests, PER_TURN)
        self.waiting += requests - begins
        self.begun += begins
        self.running = min(begins, 5)

    def tells(self, seconds: float) -> Sample:
        read = (self.begun - self.since) * PROMPT
        return reading(
            seconds, self.number, running=self.running, waiting=self.waiting, prefilled=read, steps=100 * (seconds - self.since_s)
        )


@dataclass
class Simulated:
    """Pods under load, and the operator that looks at them every five seconds, as ``core/autoscale`` does.

    While there is a canary it is to have ``share`` of the load, in percent: as much of that as its pods can carry, and what those of
    stable cannot. It has pods for its share, and no pod of stable goes before its part of the load has.
    """

    asked: int = 2
    rules: Rules = RULES
    share: int | None = None
    ends: bool = False
    """Whether the canary takes over or goes away, as soon as the pods of the other engine are there."""
    pods: list[Pod] = field(default_factory=list)
    tracks: dict[str, Track] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    seconds: float = 0.0
    made: int = 0
    began_s: float = 0.0
    heard_s: dict[str, float] = field(default_factory=dict)
    found: Need | Blind | None = None

    def __post_init__(self) -> None:
        self._set(STABLE, self.asked, comes_s=0)

    def turn(self, requests_per_s: float, bad: Mapping[int, str] | None = None) -> Decision:
        """Let five seconds pass; return what is decided, which follows the rules whatever pods tell."""
        self.seconds += TURN_S
        for engine, part in self.parts.items():
            pods = self.ready(engine)
            for pod in pods:
                pod.work(requests_per_s * part * TURN_S / len(pods))
        for pod in self.ready():
            self._hear(pod, (bad or {}).get(pod.number))
        now, asked = at(self.seconds), self.asked
        self.found = self.outlook.need(self.tracks, now)
        decision, self.memory = decide(self.memory, self.rules, Fleet(asked, stepping=self.share is not None), self.found, now)
        self._check(decision, asked)
        self.asked = decision.replicas
        self._place()
        return decision

    def turns(self, count: int, requests_per_s: float) -> None:
        for _ in range(count):
            self.turn(requests_per_s)

    def promote(self) -> None:
        self.share, self.ends = 100, True

    def abort(self) -> None:
        self.share, self.ends = 0, True

    def another_operator(self) -> None:
        self.tracks, self.memory, self.began_s, self.heard_s = {}, Memory(), self.seconds, {}

    def ready(self, *engines: str) -> list[Pod]:
        return [each for each in self.pods if each.comes_s <= self.seconds and each.engine in (engines or (STABLE, CANARY))]

    @property
    def parts(self) -> dict[str, float]:
        """Return how much of the load each engine has that serves."""
        stable, canary = len(self.ready(STABLE)), len(self.ready(CANARY))
        if not (stable and canary):
            return {CANARY if canary else STABLE: 1.0}
        part = min(max((self.share or 0) / 100, 1 - stable / self.asked), canary / self.asked, 1.0)
        return {STABLE: 1 - part, CANARY: part}

    @property
    def engines(self) -> list[list[Pod]]:
        """Return the pods that are counted on to tell their load, by engine."""
        loaded = [engine for engine, part in self.parts.items() if part]
        pods = ([pod for pod in self.ready(engine) if self._is_due(pod)] for engine in loaded)
        return [each for each in pods if each]

    @property
    def outlook(self) -> Outlook:
        """Return what the operator's decision rests on."""
        counted = tuple((frozenset(each.uid for each in pods), CAPACITY) for pods in self.engines)
        return Outlook(counted, self.asked, STARTUP_S, coming=len(self.ready()) < max(len(self.pods), self.asked))

    @property
    def together(self) -> Outlook:
        """Return it as if all pods were of one engine."""
        counted = frozenset(uid for uids, _ in self.outlook.engines for uid in uids)
        return replace(self.outlook, engines=((counted, CAPACITY),))

    def _is_due(self, pod: Pod) -> bool:
        return pod.uid in self.tracks or self.seconds - pod.comes_s > STALE_AFTER.total_seconds()

    def _is_heard(self, pod: Pod) -> bool:
        return self.seconds - self.heard_s.get(pod.uid, -1e9) <= STALE_AFTER.total_seconds()

    def _hear(self, pod: Pod, bad: str | None) -> None:
        told = self._told(pod, bad)
        if told is not None:
            known = self.tracks.get(pod.uid)
            self.tracks[pod.uid] = known.hear(told) if known else Track((told,))
            self.heard_s[pod.uid] = self.seconds

    def _told(self, pod: Pod, bad: str | None) -> Sample | None:
        """Return what is read of a pod, which may be nothing; ``bad`` is how its figures are wrong."""
        how = BAD[bad] if bad else None
        if how == "anew":
            pod.since, pod.since_s = pod.begun, self.seconds
        if how == "reads":
            pod.since -= 1000
        if how == "stale":
            return replace(self.tracks[pod.uid].last, at=at(self.seconds)) if pod.uid in self.tracks else None
        if how == "another":
            others = [each for each in self.ready() if each is not pod]
            return (others or [pod])[0].tells(self.seconds)
        told = pod.tells(self.seconds)
        if how in {None, "anew", "reads"}:
            return told
        try:
            return sample(text(told, how) if how else b"", EXPECTED, at(self.seconds))
        except SampleError:
            return None

    def _check(self, decision: Decision, asked: int) -> None:
        """See that the rules hold: bounds, one pod less at a time and only after a while, and nothing where too few were heard."""
        assert self.rules.least <= decision.replicas <= self.rules.most
        assert decision.replicas >= min(asked, self.rules.most) - 1
        if decision.replicas < asked:
            assert self.seconds - self.began_s >= self.rules.hold.total_seconds()
            assert self.share is None
        known = [pods for pods in self.engines if sum(map(self._is_heard, pods)) >= HEARD_MIN * len(pods)]
        if sum(map(len, known)) < HEARD_MIN * sum(map(len, self.engines)):
            assert decision.replicas == asked
        elif len(known) < len(self.engines):
            assert decision.replicas >= asked

    def _place(self) -> None:
        """Have the pods that are asked for: begin those that are missing, end those that nobody needs any more."""
        if self.share is None:
            self._set(STABLE, self.asked)
            return
        part = self.parts.get(CANARY, 0.0)
        stable = self.asked if self.ends and not self.share else ceil((1 - part) * self.asked - 1e-9)
        self._set(STABLE, stable)
        self._set(CANARY, max(ceil(max(self.share / 100, part) * self.asked - 1e-9), 1))
        if self.ends and self.parts.get(CANARY if self.share else STABLE) == 1.0:
            gone = STABLE if self.share else CANARY
            self.pods = [replace(each, engine=STABLE) for each in self.pods if each.engine != gone]
            self.share, self.ends = None, False

    def _set(self, engine: str, pods: int, comes_s: float | None = None) -> None:
        there = [each for each in self.pods if each.engine == engine]
        for each in there[pods:]:
            self.pods.remove(each)
        for _ in range(pods - len(there)):
            self.pods.append(Pod(self.made, engine, self.seconds + STARTUP_S if comes_s is None else comes_s))
            self.made += 1


def enough_for(requests_per_s: float, rules: Rules = RULES) -> int:
    """Return how many pods a load needs."""
    need = Need(0, requests_per_s * PROMPT / CAPACITY.prefill_tokens_per_s / PREFILL_SHARE + 1e-6, 0)
    return min(max(need.with_headroom(rules.headroom), rules.least), rules.most)
