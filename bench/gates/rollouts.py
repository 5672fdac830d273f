"""Which rollouts are simulated: equal arms, canaries that are just too bad, and canaries to be found out; for four populations."""

from bench.gates.study import Study
from bench.gates.traffic import Population, Rollout
from llm_operator.core.gates.comparison import ComparisonGate, Metric
from llm_operator.core.gates.decision import Gate
from llm_operator.core.gates.errors import ErrorsGate

POPULATIONS = (
    Population("independent"),
    Population("subjects", subjects=5000, activity=1.5, subject_sigma=0.4),
    Population("few", subjects=400, activity=1.0, subject_sigma=0.4, prone=0.1),
    Population("bursty", subjects=1000, activity=1.0, subject_sigma=0.4, prone=0.1, burst=8.0, burst_sigma=0.3, shock=0.2),
)
RAMP = tuple(share for share in (0.01, 0.05, 0.1, 0.25, 0.5) for _ in range(10))
TENTH = (0.1,) * 60

EQUAL_RUNS, MARGIN_RUNS, POWER_RUNS, PEER_RUNS = 2500, 500, 200, 250
"""Of each population. Equal arms are 10,000 rollouts, in each of which every gate is asked fifty times."""

ERRORS = ErrorsGate()
MARGINS = {
    Metric.TIME_TO_FIRST_TOKEN: 0.1,
    Metric.TIME_PER_OUTPUT_TOKEN: 0.1,
    Metric.PROMPT_TOKENS: 0.2,
    Metric.SELF_TIME_TO_FIRST_TOKEN: 0.25,
}
JUST_TOO_BAD = Rollout(RAMP, ERRORS.limit / ERRORS.ratio, ERRORS.limit, slower=1.1, longer=1.2, disturbed=1.25)
"""At the margin of every gate at once."""

ANY_SLOWER = "ttftAny"
POWER_GATES: tuple[Gate, ...] = (
    ERRORS,
    ComparisonGate("ttft", Metric.TIME_TO_FIRST_TOKEN, 0.1),
    ComparisonGate(ANY_SLOWER, Metric.TIME_TO_FIRST_TOKEN, 0.1, harm_margin=0.0),
)
CANARIES = {
    "equal": Rollout(TENTH),
    "1.1x latency": Rollout(TENTH, slower=1.1),
    "1.2x latency": Rollout(TENTH, slower=1.2),
    "1.5x latency": Rollout(TENTH, slower=1.5),
    "2% errors": Rollout(TENTH, canary_errors=0.02),
    "5% errors": Rollout(TENTH, canary_errors=0.05),
    "20% errors": Rollout(TENTH, canary_errors=0.2),
}


def gates(harm_margin: float | None = None) -> tuple[Gate, ...]:
    """Return all gates. With a harm margin of 0 they abort on whatever they would with their own one, and on more."""
    return (ERRORS, *(ComparisonGate(metric.value, metric, margin, harm_margin) for metric, margin in MARGINS.items()))


def equal(runs: int) -> list[Study]:
    """Return rollouts of a canary that is no other than stable, judged by the strictest gates."""
    return [
        Study(f"arms alike, {each.name}", each, Rollout(RAMP), gates(0.0), range(runs), min(PEER_RUNS, runs), to_the_end=True)
        for each in POPULATIONS
    ]


def just_too_bad(runs: int) -> list[Study]:
    """Return rollouts of a canary that no gate may let pass."""
    return [Study(f"margin, {each.name}", each, JUST_TOO_BAD, gates(), range(runs), to_the_end=True) for each in POPULATIONS]


def canaries(runs: int) -> list[Study]:
    """Return rollouts of canaries to be let pass or found out, a tenth of the traffic for an hour."""
    return [
        Study(f"{name}, {each.name}", each, rollout, POWER_GATES, range(runs))
        for name, rollout in CANARIES.items()
        for each in POPULATIONS[:2]
    ]
