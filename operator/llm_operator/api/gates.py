"""Gates: what has to be proven of a new revision before it gets more requests."""

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llm_operator.api.base import ApiModel, rule
from llm_operator.api.decimals import Real
from llm_operator.api.durations import Duration
from llm_operator.api.patterns import DNS_LABEL, DNS_SUBDOMAIN, MAX_PROFILE_NAME

MAX_GATES = 10
COUNTED = ("errors", "timeToFirstToken", "timePerOutputToken", "promptTokens", "stableTimeToFirstToken")
"""Gates that are answered from what sidecars count."""
NAMED = ("promql", "webhook")
"""Gates that somebody else answers."""
KINDS = (*COUNTED, *NAMED)
UNIQUE = (
    rule(
        " && ".join(f"self.filter(gate, has(gate.{name})).size() <= 1" for name in COUNTED),
        f"each of {', '.join(COUNTED[:-1])} and {COUNTED[-1]} can be asked once",
    ),
    *(
        rule(
            f"self.all(gate, !has(gate.{name}) || self.exists_one(other, has(other.{name}) && other.{name}.name == gate.{name}.name))",
            f"each {name} gate needs a name of its own",
        )
        for name in NAMED
    ),
)
"""Of a list of gates."""
OnHarm = Literal["Abort", "Pause"]
Interval = Annotated[str, Duration("10s", "1h")]
Bound = Annotated[Decimal, Real("-1000000000000", "1000000000000")] | None


class ErrorsGate(ApiModel):
    """Does it fail more often? It passes when it is proven to fail seldom, or not much more often than the stable revision."""

    limit_percent: Annotated[Decimal, Real("0", "50", above=True), Field(json_schema_extra={"default": 1})] = Decimal(1)
    """It passes when less than this share of its requests is proven to fail."""
    ratio: Annotated[Decimal, Real("1.05", "20"), Field(json_schema_extra={"default": 1.5})] = Decimal("1.5")
    """It passes too when it is proven to fail less than this many times as often as the stable one."""
    on_harm: OnHarm = "Abort"
    """What follows when it is proven to fail more often than the stable one: `Abort` takes all requests back, `Pause` waits."""


class MeanGate(ApiModel):
    """Has a mean grown? It passes when the growth is proven to be less than a margin."""

    margin_percent: Annotated[Decimal, Real("0", "1000", above=True), Field(json_schema_extra={"default": 10})] = Decimal(10)
    """Growth that is tolerated, against the stable revision in the same minutes."""
    harm_margin_percent: Annotated[Decimal, Real("0", "1000")] | None = None
    """Growth that has to be exceeded to be harm, by default the same. With 0 any proven growth is."""
    on_harm: OnHarm = "Abort"
    """What follows when it is proven to have grown by more: `Abort` takes all requests back, `Pause` waits for somebody."""


class PromqlGate(ApiModel):
    """Is a figure within bounds? It passes when it is, so many times in a row, and is harm when it is not, as many times in a row.

    That is a rule, not a proof: how often it is wrong depends on the query.
    """

    rules: ClassVar = (
        rule("has(self.minValue) || has(self.maxValue)", "minValue or maxValue must be set, else every number passes"),
        rule("!has(self.minValue) || !has(self.maxValue) || self.minValue <= self.maxValue", "minValue must not be above maxValue"),
    )

    name: str = Field(min_length=1, max_length=32, pattern=DNS_LABEL)
    """Name of the question; `status.gates` has it behind `promql/`."""
    query: str = Field(min_length=1, max_length=2048)
    """Query in PromQL that gives one number: a scalar, or a vector of one series. `$namespace`, `$deployment`, `$revision`, the new one,
    and `$stable`, the one it is to replace, stand for what is asked about. No series, and NaN, pass nothing."""
    min_value: Bound = None
    """Least number that passes."""
    max_value: Bound = None
    """Greatest number that passes."""
    times: Annotated[int, Field(ge=1, le=20)] = 3
    """How many answers in a row, all since the step has its share of requests, have to be within the bounds, or all beyond them."""
    interval: Interval = "30s"
    """Time from one answer to the next question."""
    on_harm: OnHarm = "Abort"
    """What follows when so many answers in a row are beyond the bounds: `Abort` takes all requests back, `Pause` waits for somebody."""


class WebhookGate(ApiModel):
    """What does another service say of the revision? It is asked over and over in each step until it passes it or finds harm."""

    name: str = Field(min_length=1, max_length=MAX_PROFILE_NAME, pattern=DNS_SUBDOMAIN)
    """Name of a webhook the administrator has set up; `status.gates` has it behind `webhook/`."""
    interval: Interval = "30s"
    """Time from one answer to the next question."""
    on_harm: OnHarm = "Abort"
    """What follows when it finds harm: `Abort` takes all requests back, `Pause` waits for somebody."""


class Gate(ApiModel):
    """One question; exactly one field is set."""

    rules: ClassVar = (
        rule(
            f"[{', '.join(f'has(self.{name})' for name in KINDS)}].filter(is_set, is_set).size() == 1",
            f"exactly one of {', '.join(KINDS[:-1])} and {KINDS[-1]} must be set",
        ),
    )

    errors: ErrorsGate | None = None
    """Requests that fail, as `docs/explanation/statistics.md` counts them."""
    time_to_first_token: MeanGate | None = None
    """The mean of the logarithm of the time to the first token of streams."""
    time_per_output_token: MeanGate | None = None
    """The mean of the logarithm of the time for each further token of streams."""
    prompt_tokens: MeanGate | None = None
    """The mean number of prompt tokens of a request."""
    stable_time_to_first_token: MeanGate | None = None
    """The stable revision's own time to first token, against what it was before: on the same pods a new revision may slow it down too. The
    rollout waits up to 15 minutes for the five this needs. Load that changes by itself counts as well: think of `onHarm: Pause`."""
    promql: PromqlGate | None = None
    """A query to the Prometheus the administrator has set up."""
    webhook: WebhookGate | None = None
    """A question to a service the administrator has set up."""
