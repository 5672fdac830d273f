"""Every right of the chart's Roles is used, and each of them taken away alone breaks something a user sees; given back, that heals.

It takes minutes, so it is no part of `make integration`. `make soak-rights` takes away every single one; without `RIGHTS=all` it is one of
each kind of break, and `RIGHTS=apps/deployments/watch` names some.
"""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from llm_operator.core import kinds
from tests.integration.chart import rights
from tests.integration.chart.kit import of_kind, render
from tests.integration.chart.rights import Right
from tests.integration.rights.behaviours import ALL, ALONE, Behaviour, affected
from tests.integration.rights.place import Place, granted
from tests.integration.server import Server
from tests.integration.stage import Stage
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(1800)

LANES = 4
BROKEN_S = 12.0
UNHEARD_S = 3.0
"""Of what nobody is told a list tells after a while: without a watch it is late, with one it is there at once."""
WHOLE_S = 300.0
SMOKE: set[Right] = {
    ("apps", "deployments", "delete"),
    ("coordination.k8s.io", "leases", "update"),
    ("llmops.dev", "llmprompts/status", "patch"),
    ("networking.k8s.io", "networkpolicies", "get"),
    ("", "pods", "patch"),
}


@dataclass(frozen=True)
class Case:
    """A right to take away, or none, and what to look at."""

    right: Right | None
    behaviours: Sequence[Behaviour]

    def in_place(self, place: Place) -> str:
        """Run it and return what is wrong."""
        place.grant(but=self.right)
        with place:
            return _broken(place, self.right, self.behaviours) if self.right else _whole(place, self.behaviours)


Run = Callable[[Sequence[Case]], list[str]]


@pytest.fixture
def places() -> list[Place]:
    """Return the places that cases were run in."""
    return []


@pytest.fixture
def run(server: Server, stage: Stage, spaces: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, places: list[Place]) -> Run:
    """Return what runs each case in a place of its own, and says what is wrong."""

    def one(case: Case) -> str:
        place = Place(server, stage, spaces(), tmp_path_factory.mktemp("rights") / "kubeconfig")
        places.append(place)
        return case.in_place(place)

    def all_of_them(cases: Sequence[Case]) -> list[str]:
        with ThreadPoolExecutor(LANES) as pool:
            return [wrong for wrong in pool.map(one, cases) if wrong]

    return all_of_them


def _whole(place: Place, behaviours: Sequence[Behaviour]) -> str:
    for each in behaviours:
        each.act(place)
        until(lambda each=each: each.came(place), timeout_s=WHOLE_S, what=each.name)  # type: ignore[misc]  # bound now
    return ""


def _broken(place: Place, right: Right, behaviours: Sequence[Behaviour]) -> str:
    """Return what speaks against a right being needed: nothing breaks, or giving it back heals nothing."""
    try:
        broken = next((each for each in behaviours if not _comes(place, right, each)), None)
        if broken is None:
            return f"{right} is not needed by any of: {', '.join(each.name for each in behaviours)}"
        place.grant()
        place.revive()
        if broken.told:
            broken.act(place)
        until(lambda: broken.came(place), timeout_s=WHOLE_S, what=broken.name)
    except AssertionError as error:
        return f"{right}: {error}"
    print(f"{'/'.join(filter(None, right))}: without it nobody {broken.name}")  # noqa: T201  # what was seen is the result
    return ""


def _comes(place: Place, right: Right, behaviour: Behaviour) -> bool:
    """Return whether a behaviour comes although a right is missing; it is given up for broken a while after somebody was refused."""
    refused_at: float | None = None

    broken_s = UNHEARD_S if right[2] == "watch" else BROKEN_S

    def over() -> bool:
        nonlocal refused_at
        if refused_at is None and place.was_refused(right):
            refused_at = time.monotonic()
        return refused_at is not None and time.monotonic() - refused_at > broken_s

    came = False

    def decided() -> bool:
        nonlocal came
        came = behaviour.came(place)
        return came or over()

    behaviour.act(place)
    until(decided, timeout_s=WHOLE_S, what=behaviour.name, interval_s=0.5)
    return came


def _chart() -> set[Right]:
    """Return the rights of the chart but the one that only an admission plugin asks for, which the server here does not have on."""
    everything = granted(of_kind(render({}), "Role"))
    by_plugin = {(kinds.LLM_DEPLOYMENT.group, f"{kinds.LLM_DEPLOYMENT.plural}/finalizers", "update")}
    assert by_plugin <= everything
    return everything - by_plugin


def test_with_all_rights_everything_works_and_every_one_of_them_is_used(run: Run, places: list[Place], server: Server) -> None:
    assert run([Case(None, ALL), *(Case(None, (each,)) for each in ALONE)]) == []
    events = list(server.lab.audit_events())
    assert [message for each in places for message in rights.forbidden(events, each.account)] == []
    assert {right for each in places for right in rights.used(events, each.account)} == _chart()


def test_each_right_taken_away_alone_breaks_something_and_given_back_heals_it(run: Run) -> None:
    chart = _chart()
    assert chart >= SMOKE
    asked = os.environ.get("RIGHTS", "")
    named = {right for right in chart if "/".join(right) in asked.split()}
    chosen = sorted(chart if asked == "all" else named or SMOKE)
    assert run([Case(right, affected(right)) for right in chosen]) == []
