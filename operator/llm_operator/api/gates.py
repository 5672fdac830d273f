"""Gates: what has to be proven of a new revision before it gets more requests."""

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llm_operator.api.base import ApiModel, rule
from llm_operator.api.decimals import Real

MAX_GATES = 5
KINDS = ("errors", "timeToFirstToken", "timePerOutputToken", "promptTokens", "stableTimeToFirstToken")
UNIQUE = rule(
    " && ".join(f"self.filter(gate, has(gate.{name})).size() <= 1" for name in KINDS),
    "each kind of gate can be asked once",
)
"""Of a list of gates."""
OnHarm = Literal["Abort", "Pause"]


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
    harm_margin_percent: Annotated[Decimal | None, Real("0", "1000")] = None
    """Growth that has to be exceeded to be harm, by default the same. With 0 any proven growth is."""
    on_harm: OnHarm = "Abort"
    """What follows when it is proven to have grown by more: `Abort` takes all requests back, `Pause` waits for somebody."""


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
