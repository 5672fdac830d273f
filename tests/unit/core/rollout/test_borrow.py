"""``capacity.mode: Borrow``: one pod of stable is taken while the load allows it, and given back before the others have too much."""

from typing import Any

import pytest

from llm_sidecar.table import WHOLE
from tests.unit.core.builders import SOURCE, make_deployment, make_spec
from tests.unit.core.rollout.engines import OTHER, STEPS, THIRD, Watched, by_steps
from tests.unit.core.sim import Sim

QUICK = [{"weightPercent": 5, "minDuration": "2s"}, {"weightPercent": 50, "minDuration": "2s"}]
LONG = [{"weightPercent": 5, "minDuration": "1h"}]


def borrowing(replicas: int = 4, running: int = 0, steps: list[dict[str, Any]] | None = None, **changes: Any) -> Watched:
    """A deployment whose first change of the engine has just been asked for, with so many requests in each pod of a hundred."""
    one = Watched.serving(replicas, "Borrow", steps, **changes)
    one.sim.running = running
    one.sim.edit(model=OTHER)
    return one


def settled(one: Watched) -> Watched:
    """Look until a minute of low load has passed."""
    one.run(2)
    one.tick(60)
    one.run(2)
    return one


@pytest.mark.parametrize("replicas", [2, 5])
def test_a_change_takes_one_pod_at_a_time_and_there_are_never_more_than_asked_for(replicas: int) -> None:
    one = settled(borrowing(replicas, steps=QUICK))
    old, carriers = one.old, replicas - 1
    one.until("Promoted", 200)
    one.sim.settle()
    assert one.peak == replicas
    ratchet = [WHOLE * n // carriers for n in range(1, carriers + 1)]
    cap = WHOLE // carriers
    assert [each for each in one.weights_seen if each] == sorted({min(500, cap), min(5000, cap), *ratchet})
    assert (one.sim.engines(), one.sim.ready_pods(), one.sim.entries()) == ([one.old], replicas, [])
    assert one.old != old
    assert "loan" not in one.status


def test_under_load_no_pod_is_taken_and_the_condition_names_the_load_and_the_bound() -> None:
    one = borrowing(4, running=60)
    one.run(6, 25)
    assert (one.rollout["state"], one.rollout["reason"]) == ("WaitingCapacity", "BorrowUnsafe")
    assert one.rollout["message"] == "240 requests are there, and a pod of stable is lent once 3 of 4 pods have to carry 180 at most"
    capacity = one.condition("CapacityAvailable")
    assert (capacity["status"], capacity["reason"], capacity["message"]) == ("False", "BorrowUnsafe", one.rollout["message"])
    assert (one.status["loan"]["lent"], one.status["loan"]["reason"]) == (False, "LoadHigh")
    assert (one.condition("Stalled")["status"], one.sim.ready_pods(one.old), one.pods(old=False)) == ("False", 4, [])
    one.sim.running = 30
    settled(one)
    one.until("Stepping")
    assert (one.sim.ready_pods(one.old), len(one.pods(old=False)), one.condition("CapacityAvailable")["status"]) == (3, 1, "True")


def test_while_it_waits_for_the_load_it_looks_every_few_seconds_and_writes_nothing() -> None:
    one = borrowing(4, running=60)
    one.run(6, 25)
    before = one.status
    made = one.look()
    assert (made.applies, made.status, made.next_look_s) == ((), before, 5)


def test_a_load_that_rises_takes_the_share_at_once_then_the_pod_and_stable_has_all_of_its_own_again() -> None:
    one = settled(borrowing(4, steps=LONG))
    one.until("Stepping")
    one.run(4)
    assert (one.share(), one.sim.ready_pods(one.old)) == (500, 3)
    one.sim.running = 70
    one.look()
    assert (one.share(), len(one.pods(old=False))) == (0, 1), "its pod goes only when nobody sends it anything"
    assert (one.rollout["state"], one.rollout["reason"], one.rollout["weight"]) == ("WaitingCapacity", "BorrowUnsafe", 0)
    one.run(6)
    assert (one.sim.ready_pods(one.old), one.pods(old=False)) == (4, [])
    one.sim.running = 20
    settled(one)
    one.until("Stepping")
    one.run(4)
    assert (one.state, one.share()) == (("Stepping", 1, 5), 500)


def spread(one: Watched, load: float) -> float:
    """Give each ready pod its part of the requests, as the table says, and return how many the fullest has."""
    for old, part in ((True, WHOLE - one.share()), (False, one.share())):
        serving = [name for name in one.pods(old=old) if one.sim.ready(name)]
        one.sim.loads |= {name: round(load * part / WHOLE / len(serving)) for name in serving}
    return max(one.sim.loads[name] for name in one.sim.loads if name in one.sim.pods and one.sim.ready(name))


@pytest.mark.parametrize(("headroom", "enough"), [(20, True), (0, False)])
def test_headroom_is_the_time_that_a_pod_which_is_given_back_takes_to_load(headroom: int, *, enough: bool) -> None:
    """From 160 requests to 380 at two a second: four pods of a hundred carry that, and three do not. An engine loads for twenty seconds."""
    one = borrowing(4, steps=LONG)
    one.sim.edit(rollout={**by_steps(LONG, "Borrow"), "capacity": {"mode": "Borrow", "headroomPercent": headroom}})
    settled(one)
    one.until("Stepping")
    one.run(4)
    most, whole_since = 0.0, 0
    for second in range(110):
        most = max(most, spread(one, 160 + 2 * second))
        if one.asked(one.old) < 4:
            whole_since = second
        one.sim.max_ready = 4 if whole_since == second or second - whole_since > 20 else 3
        if second % 5 == 0 or one.rollout["state"] == "WaitingCapacity":  # what comes of a move is heard of at once
            one.look()
        one.tick()
    assert (one.rollout["reason"], one.sim.ready_pods(one.old), one.peak) == ("BorrowUnsafe", 4, 4)
    assert (most <= 100) == enough, "a pod has had more requests than it may have at once"


def test_the_pod_that_is_given_back_holds_its_accelerator_until_it_has_ended() -> None:
    one = settled(borrowing(4, steps=LONG))
    one.until("Stepping")
    one.run(4)
    one.sim.streaming |= set(one.pods(old=False))
    one.sim.running = 70
    one.run(5, 30)
    assert (one.asked(one.old), one.sim.ready_pods(one.old)) == (3, 3)
    one.sim.streaming.clear()
    one.run(6)
    assert (one.asked(one.old), one.sim.ready_pods(one.old)) == (4, 4)


def test_a_sidecar_that_may_still_send_requests_to_it_keeps_the_pod() -> None:
    one = settled(borrowing(4, steps=LONG))
    one.until("Stepping")
    one.run(4)
    one.sim.deaf.add(min(one.pods(old=True)))
    one.sim.running = 70
    one.run(10)
    assert (one.share(), len(one.pods(old=False))) == (0, 1)
    one.sim.deaf.clear()
    one.sim.tick(60)
    one.run(6)
    assert one.pods(old=False) == []


@pytest.mark.parametrize("trouble", ["slots", "silent"])
def test_a_load_that_is_not_known_takes_no_pod(trouble: str) -> None:
    one = borrowing(2)
    if trouble == "slots":
        one.sim.slots = None
    else:
        one.sim.silent.add(min(one.sim.pods))
    one.run(6, 30)
    assert (one.rollout["state"], one.sim.ready_pods(one.old)) == ("WaitingCapacity", 2)
    assert "the load is not known" in one.condition("CapacityAvailable")["message"]


def test_a_load_that_is_not_known_any_more_gives_the_pod_back_after_a_minute() -> None:
    one = settled(borrowing(4, steps=LONG))
    one.until("Stepping")
    one.sim.slots = None
    one.run(3, 15)
    assert one.rollout["state"] == "Stepping"
    one.run(4, 20)
    one.run(4)
    assert (one.rollout["state"], one.sim.ready_pods(one.old)) == ("WaitingCapacity", 4)


def test_what_somebody_has_paused_gives_its_pod_back_too_and_stays_paused() -> None:
    one = settled(borrowing(4, steps=LONG))
    one.until("Stepping")
    one.run(3)
    one.ask("pause")
    one.sim.running = 70
    one.run(8)
    assert (one.state, one.share(), one.pods(old=False)) == (("Paused", 1, 5), 0, [])
    assert one.condition("CapacityAvailable")["reason"] == "BorrowUnsafe"
    one.sim.running = 10
    settled(one)
    one.run(8)
    assert (one.state, one.share()) == (("Paused", 1, 5), 500)


def test_copies_end_before_the_pod_that_answers_them_is_given_back() -> None:
    one = settled(borrowing(4, steps=[{"shadow": {"samplePercent": 10}, "minDuration": "1h"}]))
    one.until("Stepping")
    one.run(3)
    one.ask("pause")
    copied = [one.table.shadow is not None]
    one.sim.running = 70
    one.look()
    copied.append(one.table.shadow is not None)
    assert (copied, len(one.pods(old=False))) == ([True, False], 1)
    one.run(6)
    assert (one.rollout["state"], one.pods(old=False)) == ("Paused", [])


def test_in_the_middle_of_the_ratchet_no_more_pods_go_while_the_load_is_high() -> None:
    one = settled(borrowing(4, steps=QUICK))
    one.until("Ratcheting", 200)
    while one.share() < 6000:
        one.run(1)
    one.sim.running = 90
    one.run(8)
    assert (one.rollout["state"], one.sim.ready_pods(), one.condition("CapacityAvailable")["reason"]) == ("Ratcheting", 4, "BorrowUnsafe")
    old = one.sim.ready_pods(one.old)
    one.run(3, 60)
    assert one.sim.ready_pods(one.old) == old > 0
    assert one.status["reason"] == "BorrowUnsafe"
    assert "lent once" in one.status["message"]
    one.sim.running = 10
    settled(one)
    one.until("Promoted", 200)
    assert one.peak == 4


def test_in_the_middle_of_the_ratchet_an_unknown_load_takes_no_pod() -> None:
    one = settled(borrowing(4, steps=QUICK))
    one.until("Ratcheting", 200)
    one.sim.slots = None
    one.look()
    asked = one.asked(one.old)
    one.run(8)
    assert one.status["loan"]["lent"]
    assert (one.asked(one.old), one.status["reason"]) == (asked, "BorrowUnsafe")


def test_without_steps_the_load_is_asked_for_too() -> None:
    capacity = {"capacity": {"mode": "Borrow", "headroomPercent": 50}}
    one = Watched(Sim(deployment=make_deployment(spec=make_spec(replicas=3, rollout=capacity))), 3, "Borrow")
    one.sim.settle()
    one.sim.running = 40
    one.sim.edit(model=OTHER)
    one.run(5, 25)
    assert (one.status["phase"], one.status["reason"], one.sim.ready_pods(one.old), one.peak) == ("Updating", "BorrowUnsafe", 3, 3)
    one.sim.running = 10
    old = one.old
    settled(one)
    one.sim.settle()
    assert (one.old != old, one.peak, one.sim.ready_pods()) == (True, 3, 3)


def test_the_only_replica_is_never_lent_and_the_way_out_is_named() -> None:
    one = borrowing(1)
    one.run(5, 25)
    assert (one.rollout["state"], one.sim.ready_pods(one.old)) == ("WaitingCapacity", 1)
    assert "capacity.mode Surge or Replace" in one.rollout["message"]


@pytest.mark.parametrize("way", ["abort", "other", "back"])
def test_what_is_taken_back_waits_for_no_load(way: str) -> None:
    one = settled(borrowing(4, steps=LONG))
    one.until("Stepping")
    one.run(3)
    one.sim.running = 95
    if way == "abort":
        one.ask("abort")
    else:
        one.sim.edit(model=THIRD if way == "other" else {"source": SOURCE})
    one.run(10)
    assert (one.share(), one.sim.ready_pods(one.old), one.pods(old=False)) == (0, 4, [])
    if way != "other":
        one.sim.settle()
        assert "loan" not in one.status


def promoted(replicas: int) -> Watched:
    """A deployment whose new engine has become stable, so that it can be rolled back."""
    one = settled(borrowing(replicas, steps=QUICK))
    one.until("Promoted", 200)
    one.sim.settle()
    return one


@pytest.mark.parametrize("trouble", ["load", "slots"])
def test_a_rollback_waits_for_no_load_and_there_are_never_more_pods_than_asked_for(trouble: str) -> None:
    one = promoted(4)
    bad = one.status["latestRevision"]
    if trouble == "load":
        one.sim.running = 100
    else:
        one.sim.slots = None
    assert one.ask("rollback")["outcome"] == "Done"
    one.run(2)
    assert (one.status["loan"]["lent"], one.status["loan"]["message"]) == (True, "a rollback waits for no load")
    one.until("Promoted", 200)
    one.sim.settle()
    assert (one.rollout["reason"], one.status["stable"]["revision"] != bad, one.peak) == ("RolledBack", True, 4)
    assert (one.sim.ready_pods(one.old), "loan" in one.status) == (4, False)


def test_a_rollback_of_the_only_replica_waits_and_names_the_way_out_which_works() -> None:
    one = promoted(2)
    bad = one.status["latestRevision"]
    one.replicas = 1
    one.healthy = False
    one.sim.edit(replicas=1)
    one.sim.settle()
    assert one.ask("rollback")["outcome"] == "Done"
    one.run(6, 30)
    assert (one.rollout["state"], one.rollout["reason"], one.sim.ready_pods(one.old)) == ("WaitingCapacity", "BorrowUnsafe", 1)
    assert len(one.sim.held()) == 1
    assert "capacity.mode Surge or Replace" in one.rollout["message"]
    one.sim.edit(rollout=by_steps(QUICK, "Surge"))
    one.run(2)
    one.until("Promoted", 150)
    assert (one.rollout["reason"], one.status["stable"]["revision"] != bad) == ("RolledBack", True)


@pytest.mark.covers
def test_while_the_spec_cannot_be_read_the_loan_stays_as_it_is() -> None:
    one = settled(borrowing(4, steps=LONG))
    one.until("Stepping")
    one.run(3)
    good, loan = one.sim.deployment["spec"], one.status["loan"]
    one.sim.edit(replicas="many")
    one.sim.running = 95
    one.run(3)
    assert (one.status["loan"], one.state, one.share()) == (loan, ("Stepping", 1, 5), 500)
    one.sim.edit(**good)
    one.run(8)
    assert (one.rollout["state"], one.sim.ready_pods(one.old)) == ("WaitingCapacity", 4)


def test_when_stable_is_lost_its_load_takes_nothing_from_the_canary() -> None:
    one = settled(borrowing(2, steps=STEPS))
    one.until("Stepping")
    one.run(3)
    one.healthy = False
    one.sim.running = 95
    one.sim.crashed |= set(one.pods(old=True))
    one.sim.tick(1)
    one.look()
    assert one.share() == WHOLE
    assert len(one.pods(old=False)) == 1


@pytest.mark.covers
def test_without_a_status_too_a_pod_that_still_streams_counts_before_stable_asks_for_another() -> None:
    one = borrowing(4, steps=LONG)
    one.sim.streaming |= set(one.sim.pods)
    settled(one)
    assert (one.asked(one.old), len(one.pods(old=True))) == (3, 4), "the pod that was taken still streams"
    one.sim.deployment.pop("status")
    one.sim.look()
    one.sim.tick()
    assert len(one.sim.held()) == 4
