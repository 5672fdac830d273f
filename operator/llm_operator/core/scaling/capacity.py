"""What one pod can carry, learned from what pods like it were seen to do: the same engine on the same accelerator.

A step of an engine takes a while, longer with each sequence it adds a token to, longer with each token of a prompt it reads. The three
numbers are fitted to what engines count themselves: steps, tokens, and the gaps between tokens.
"""

from dataclasses import dataclass, replace
from itertools import chain
from math import inf, isfinite

from llm_operator.core.scaling.plausible import can_read, can_write, has_time
from llm_operator.core.scaling.sample import Counters, Sample

_KEPT = 0.995
"""What is left of what was learned, after each busy reading."""
_KEPT_REQUESTS = 0.98
_ASSUMED_WEIGHT = 0.2
_CALIBRATED = 5.0
"""Busy readings after which what was seen is relied on."""
_BUSY_SEQUENCES = 4.0
_IDLE_WEIGHT = 0.1
_GAPS_MIN = 50.0
_PAUSE_S = 30.0

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Steps:
    """Seconds of a step: a fixed part, a part for each sequence in it, and a part for each token of a prompt."""

    fixed_s: float
    sequence_s: float
    prompt_token_s: float


ASSUMED = Steps(0.02, 0.0001, 0.0001)
"""What holds until something was learned: roughly a model of 8 to 70 billion weights on what it is usually served from."""
BOUND = 50.0
"""How many times more or less than is assumed a step may take."""


@dataclass(frozen=True)
class Learned:
    """Sums over readings, older ones counting less. ``products`` and ``targets`` are those of a regression in parts of what is assumed."""

    products: tuple[Vector, Vector, Vector] = ((0.0, 0.0, 0.0),) * 3
    targets: Vector = (0.0, 0.0, 0.0)
    seen: float = 0.0
    gaps: float = 0.0
    gap_seconds: float = 0.0
    prompts: float = 0.0
    prompt_sum: float = 0.0
    outputs: float = 0.0
    output_sum: float = 0.0
    kv_tokens: float = 0.0

    def add(self, earlier: Sample, later: Sample) -> "Learned":
        """Return it with what a pod did between two readings, unless it is another process, they are far apart, or it cannot be true."""
        if not self.is_finite:
            return Learned().add(earlier, later)
        grown = later.counters.since(earlier.counters)
        if grown is None or later.process != earlier.process or not 0 < (later.at - earlier.at).total_seconds() <= _PAUSE_S:
            return self
        done = can_read(grown, later.most, self._prompt(grown)) and can_write(grown, later.most)
        if not (done and has_time(grown, later.ranks * (later.at - earlier.at).total_seconds())):
            return self  # one counter that has jumped would outweigh hundreds of readings
        kept = replace(
            self,
            kv_tokens=later.kv_tokens or self.kv_tokens,
            prompts=_KEPT_REQUESTS * self.prompts + grown.prompts,
            prompt_sum=_KEPT_REQUESTS * self.prompt_sum + grown.prompt_sum,
            outputs=_KEPT_REQUESTS * self.outputs + grown.outputs,
            output_sum=_KEPT_REQUESTS * self.output_sum + grown.output_sum,
        )
        if grown.gaps < _GAPS_MIN or not grown.steps:
            return kept
        weight, step_s = _step_s(grown, (later.at - earlier.at).total_seconds(), min(earlier.running, later.running))
        row = (
            1.0,
            ASSUMED.sequence_s / ASSUMED.fixed_s * grown.generated_tokens / grown.steps,
            ASSUMED.prompt_token_s / ASSUMED.fixed_s * grown.prefill_tokens / grown.steps,
        )
        first, second, third = (_blend(sums, weight, each, row) for sums, each in zip(self.products, row, strict=True))
        return replace(
            kept,
            products=(first, second, third),
            targets=_blend(self.targets, weight, step_s / ASSUMED.fixed_s, row),
            seen=_KEPT**weight * self.seen + weight,
            gaps=_KEPT_REQUESTS * self.gaps + grown.gaps,
            gap_seconds=_KEPT_REQUESTS * self.gap_seconds + grown.gap_seconds,
        )

    def _prompt(self, grown: Counters) -> float:
        """Return the tokens of a prompt on average, those that have just come included."""
        prompts = self.prompts + grown.prompts
        return (self.prompt_sum + grown.prompt_sum) / prompts if prompts else 0.0

    @property
    def is_finite(self) -> bool:
        """Return whether all of it are numbers still: nothing can be reckoned with it otherwise, ever."""
        sums = (self.seen, self.gaps, self.gap_seconds, self.prompts, self.prompt_sum, self.outputs, self.output_sum, self.kv_tokens)
        return all(map(isfinite, chain(sums, self.targets, *self.products)))

    @property
    def calibrated(self) -> bool:
        """Return whether enough was seen to rely on it."""
        return self.seen >= _CALIBRATED

    @property
    def steps(self) -> Steps:
        """Return what a step takes: as was assumed where nothing was seen that says otherwise."""
        first, second, third = self.products
        matrix = (
            (first[0] + _ASSUMED_WEIGHT, first[1], first[2]),
            (second[0], second[1] + _ASSUMED_WEIGHT, second[2]),
            (third[0], third[1], third[2] + _ASSUMED_WEIGHT),
        )
        right = (self.targets[0] + _ASSUMED_WEIGHT, self.targets[1] + _ASSUMED_WEIGHT, self.targets[2] + _ASSUMED_WEIGHT)
        parts = [min(max(each, 1 / BOUND), BOUND) for each in _solve(matrix, right)]
        return Steps(ASSUMED.fixed_s * parts[0], ASSUMED.sequence_s * parts[1], ASSUMED.prompt_token_s * parts[2])


@dataclass(frozen=True)
class Capacity:
    """What one pod carries: ``requests`` at a time, and tokens of prompts. ``request_s`` is how long it is busy with one request.

    ``pod_seconds`` is how much of a pod's time one request takes.
    """

    requests: float
    prefill_tokens_per_s: float
    prompt_tokens: float
    request_s: float
    calibrated: bool

    @property
    def pod_seconds(self) -> float:
        """Return the time of a pod that is nothing but busy with a typical request."""
        return max(self.prompt_tokens / self.prefill_tokens_per_s, self.request_s / self.requests)


@dataclass(frozen=True)
class Limits:
    """What a pod is asked to keep to: seconds for each token, sequences at a time, tokens in one step."""

    time_per_output_token_s: float
    sequences: float
    step_tokens: float


def capacity(learned: Learned, limits: Limits) -> Capacity:
    """Return what a pod carries at its limits, with requests like those that came lately."""
    learned = learned if learned.is_finite else Learned()
    steps = learned.steps
    prompt = learned.prompt_sum / learned.prompts if learned.prompts else 0.0
    output = learned.output_sum / learned.outputs if learned.outputs else 0.0
    # With each sequence come the prompts of those that follow it.
    each_s = steps.sequence_s + steps.prompt_token_s * (prompt / output if output else 0.0)
    by_latency = (limits.time_per_output_token_s - steps.fixed_s) / each_s
    by_cache = learned.kv_tokens / (prompt + output / 2) if learned.kv_tokens and prompt + output else inf
    return Capacity(
        requests=max(min(by_latency, by_cache, limits.sequences), 1.0),
        prefill_tokens_per_s=limits.step_tokens / (steps.fixed_s + steps.prompt_token_s * limits.step_tokens),
        prompt_tokens=prompt,
        request_s=output * (learned.gap_seconds / learned.gaps if learned.gaps else steps.fixed_s),
        calibrated=learned.calibrated,
    )


def _step_s(grown: Counters, seconds: float, running: float) -> tuple[float, float]:
    """Return how much a reading counts, and what a step took in it.

    A busy engine makes one step after the other, so that is the time over their number. One that rests at times only shows the gaps between
    tokens, which say little of steps that read prompts while few tokens are made.
    """
    if running and grown.gap_seconds >= _BUSY_SEQUENCES * seconds:
        return 1.0, seconds / grown.steps
    return _IDLE_WEIGHT, grown.gap_seconds / grown.gaps


def _blend(sums: Vector, weight: float, factor: float, row: Vector) -> Vector:
    kept, new = _KEPT**weight, weight * factor
    return (kept * sums[0] + new * row[0], kept * sums[1] + new * row[1], kept * sums[2] + new * row[2])


def _solve(matrix: tuple[Vector, Vector, Vector], right: Vector) -> Vector:
    """Solve three equations by Cramer's rule: what is assumed makes them well-conditioned."""
    whole = _determinant(matrix)
    columns = list(zip(*matrix, strict=True))
    swapped = [(*columns[:at], right, *columns[at + 1 :]) for at in range(3)]
    found = [_determinant(each) / whole for each in swapped]  # type: ignore[arg-type]  # mypy does not count what is spliced: it is three
    return (found[0], found[1], found[2])


def _determinant(m: tuple[Vector, Vector, Vector]) -> float:
    (a, b, c), (d, e, f), (g, h, i) = m
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
