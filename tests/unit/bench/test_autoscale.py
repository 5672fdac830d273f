"""The simulated engines work as their numbers say, and the fleet is scaled through the code that is shipped."""

from math import ceil
from pathlib import Path

import pytest

from bench.autoscale.engine import FIXED_S, PROMPT_TOKEN_S, SEQUENCES_MAX, STEP_TOKENS, Counted, Engine, Request
from bench.autoscale.fleet import Fixed, Fleet, Outcome, Policy, Seen, View, Workload
from bench.autoscale.ours import BuiltIn
from bench.autoscale.peers import PEERS, HorizontalPodAutoscaler, Knative
from bench.autoscale.table import recorded
from llm_operator.core.scaling.need import PREFILL_SHARE

DOCS = Path(__file__).resolve().parents[3] / "docs/explanation/autoscaling.md"


def steady(per_s: float, seconds: int, *, start: int, prompt: int = 1000, output: int = 100) -> Workload:
    requests = tuple((at / per_s, prompt, output) for at in range(int(per_s * seconds)))
    return Workload("steady", requests, 0, seconds, start)


def play(workload: Workload, policy: Policy | None = None) -> Outcome:
    return Fleet(workload, policy or Fixed(), 120).run()


def worked(*requests: Request) -> Engine:
    """Return an engine that took all of them at once, when it has done them."""
    engine = Engine(0.0)
    for each in requests:
        due = engine.accept(each, 0.0)
    while engine.outstanding:
        due = engine.work(due)
    return engine


def test_one_request_takes_its_steps() -> None:
    request = Request(0.0, 1000, 101)
    counted = worked(request).counted
    assert request.first == pytest.approx(FIXED_S + PROMPT_TOKEN_S * 1000)
    assert request.done - request.first == pytest.approx(100 * FIXED_S, rel=0.01)
    made = (counted.generated_tokens, counted.prefill_tokens, counted.steps)
    assert made == pytest.approx((101, 1000, 101))


def test_prompts_are_read_one_after_the_other_and_no_more_in_a_step_than_fits() -> None:
    requests = [Request(0.0, STEP_TOKENS, 1) for _ in range(10)]
    worked(*requests)
    step_s = FIXED_S + PROMPT_TOKEN_S * STEP_TOKENS
    assert [each.first for each in requests] == pytest.approx([step_s * (at + 1) for at in range(10)], rel=0.02)


def test_who_has_no_place_waits() -> None:
    engine = Engine(0.0)
    for _ in range(SEQUENCES_MAX + 50):
        engine.accept(Request(0.0, 10, 1000), 0.0)
    engine.work(20.0)
    assert (engine.running, engine.waiting) == (SEQUENCES_MAX, 50)


def test_what_one_pod_cannot_carry_two_can() -> None:
    assert play(steady(18, 120, start=1)).slo_percent < 50
    assert play(steady(18, 120, start=2)).slo_percent == 100


def test_a_pod_costs_from_when_it_is_asked_for() -> None:
    assert play(steady(1, 360, start=3)).hours == pytest.approx(0.3)


def test_the_pods_that_a_step_of_load_needs_come_once() -> None:
    outcome = play(steady(60, 300, start=3), BuiltIn(120))
    need = 60 * 1000 * (FIXED_S / STEP_TOKENS + PROMPT_TOKEN_S) / PREFILL_SHARE
    assert need <= outcome.peak <= ceil(1.5 * need)


def test_when_load_goes_so_do_pods_one_at_a_time() -> None:
    outcome = play(steady(2, 900, start=6), BuiltIn(120))
    assert (outcome.slo_percent, outcome.events) == (100, 5)


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_serves_a_steady_load_that_its_pods_can_carry(peer: str) -> None:
    assert play(steady(10, 60, start=2), PEERS[peer]()).slo_percent == 100


def view(now: float, waiting: int, running: int, asked: int = 4) -> View:
    return View(now, asked, tuple(Seen(pod, running, waiting, 0.1, Counted()) for pod in range(asked)), None)


def test_hpa_divides_what_waits_and_holds_for_five_minutes() -> None:
    hpa = HorizontalPodAutoscaler(lambda seen: seen.waiting, 10)
    assert [hpa.pods(view(now, waiting, 0)) for now, waiting in ((100, 15), (115, 15), (130, 0), (400, 0), (460, 0))] == [6, 6, 6, 6, 1]


def test_knative_panics_at_twice_what_is_ready() -> None:
    knative = Knative()
    assert knative.pods(view(100, 0, 70)) == 4
    assert knative.pods(view(102, 0, 700)) > 8


def test_the_documentation_has_the_figures_that_are_written_down() -> None:
    assert recorded() in DOCS.read_text(), "python -m bench.autoscale.table prints the table of the newest figures"
