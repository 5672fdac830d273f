"""A fleet at rest: whatever is asked of the sidecars, and however often the operator starts, nothing is written."""

import os
import threading
import time
import urllib.request
from collections.abc import Callable

import pytest

from bench.record import record
from bench.slow_operator import DELAY_S, SlowEye
from llm_operator import app
from llm_operator.core import kinds
from tests.fakes.objects import llm_deployment, operator_config
from tests.integration.operating import RunningOperator
from tests.integration.server import Object, Server, condition
from tests.integration.stage import Stage
from tests.lab.wait import until

COUNT = 50
REST_S = float(os.environ.get("REST_S") or 60)
"""The soak's five minutes, or one."""
READY_S = 240
READS_A_RESYNC = 40
"""Far from one for each of the fleet."""


class Fleet:
    """The fleet's namespace, and what the operator has done in it."""

    def __init__(self, server: Server, namespace: str, account: str) -> None:
        self.server = server
        self.namespace = namespace
        self.config = operator_config(namespaces=[namespace], resyncSeconds=15)
        self.account = account

    def operator(self) -> RunningOperator:
        """Return an operator to be started."""
        return RunningOperator(self.config, self.account)

    def statuses(self) -> dict[str, Object]:
        """Return the status of each by name."""
        return {each["metadata"]["name"]: each.get("status", {}) for each in self.server.list(kinds.LLM_DEPLOYMENT, self.namespace)}

    def versions(self) -> dict[str, str]:
        """Return the version of everything that could be written."""
        listed = [each for kind in (kinds.LLM_DEPLOYMENT, *kinds.CHILDREN) for each in self.server.list(kind, self.namespace)]
        return {f"{each['kind']} {each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in listed}

    def settled(self) -> bool:
        """Return whether every one says that it is there, and that every sidecar runs its table."""
        statuses = self.statuses().values()
        return len(statuses) == COUNT and all(
            (condition(each, "TableProgrammed").get("status"), condition(each, "Reconciling").get("status")) == ("True", "False")
            for each in statuses
        )

    def requests(self) -> list[tuple[str, int]]:
        """Return verb and answer of every request of the operator in the namespace, its watches left out, from the audit log."""
        return [
            (each["verb"], each["responseStatus"]["code"])
            for each in self.server.lab.audit_events()
            if each.get("objectRef", {}).get("namespace") == self.namespace
            and each["user"]["username"].startswith("system:serviceaccount:integration-system:")
            and each["verb"] != "watch"
            and "code" in each.get("responseStatus", {})
        ]

    def writes(self) -> int:
        """Return how many requests of the operator asked for a change."""
        return sum(verb not in {"get", "list"} for verb, _ in self.requests())

    def reads(self) -> int:
        """Return how many requests of the operator did not."""
        return sum(verb in {"get", "list"} for verb, _ in self.requests())

    def rests(self, seconds: float) -> list[tuple[str, int]]:
        """Return what the operator asks for in some time, under one question a second."""
        before = len(self.requests())
        addresses = [pod["status"]["podIP"] for pod in self.server.list(kinds.POD, self.namespace) if "podIP" in pod.get("status", {})]
        pause, end, asked = threading.Event(), time.monotonic() + seconds, 0
        while time.monotonic() < end:
            with urllib.request.urlopen(f"http://{addresses[asked % len(addresses)]}:9090/status", timeout=5) as answer:
                assert answer.status == 200
            asked += 1
            pause.wait(1)
        return self.requests()[before:]


@pytest.fixture(scope="module")
def fleet(server: Server, account: str, stage: Stage, spaces: Callable[[], str]) -> Fleet:
    """Return a fleet that an operator has brought up and left."""
    assert stage
    made = Fleet(server, spaces(), account)
    began = time.monotonic()
    with made.operator():
        for number in range(COUNT):
            server.create(llm_deployment(f"chat-{number}", made.namespace, prompt={"inline": {"system": f"Be {number}."}}), made.namespace)
        until(made.settled, timeout_s=READY_S, what="all of them settled", interval_s=1)
        print(f"{COUNT} settled after {time.monotonic() - began:.1f} s")  # noqa: T201  # a measured time, shown on failure
    return made


def test_bringing_a_fleet_up_meets_no_conflict_and_no_refusal(fleet: Fleet) -> None:
    """What a look has read is fresh, so nothing the operator does runs into its own changes."""
    refused = [(verb, code) for verb, code in fleet.requests() if code >= 400 and verb not in {"get", "list"}]
    assert len(refused) <= COUNT // 10, refused  # others write to its objects too: the API server's clock decides, not the operator


@pytest.mark.timeout(REST_S + 240)
def test_at_rest_nothing_is_written_while_sidecars_are_asked_and_resyncs_go_by(fleet: Fleet) -> None:
    with fleet.operator():
        until(lambda: fleet.rests(5) == [], timeout_s=60, what="the start over")
        before = fleet.versions()
        requests = fleet.rests(REST_S)
    assert [verb for verb, _ in requests if verb not in {"get", "list"}] == []
    reads = sum(verb in {"get", "list"} for verb, _ in requests)
    assert 0 < reads <= READS_A_RESYNC * (REST_S / fleet.config.resync_seconds + 1), "each resync reads a few lists"
    assert fleet.versions() == before
    if "REST_S" in os.environ:
        record("rest", {"deployments": COUNT, "rest_s": REST_S, "writes": 0, "reads": reads}, {}, {})


def test_a_restart_over_a_fleet_at_rest_reads_a_few_lists_and_writes_nothing(fleet: Fleet) -> None:
    before, reads, writes = fleet.versions(), fleet.reads(), fleet.writes()
    with fleet.operator():
        until(lambda: fleet.reads() > reads, timeout_s=60, what="the first resync")
        fleet.rests(8)
    assert fleet.writes() == writes
    assert fleet.reads() - reads <= READS_A_RESYNC
    assert fleet.versions() == before


def test_an_operator_that_acts_on_what_it_read_a_second_ago_comes_to_rest_too(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "Eye", SlowEye)
    assert DELAY_S > 1
    with fleet.operator():
        for number in range(5):
            spec = {"spec": {"prompt": {"inline": {"system": f"Be {number} again."}}}}
            fleet.server.merge(kinds.LLM_DEPLOYMENT, fleet.namespace, f"chat-{number}", spec)
        until(
            lambda: all(each["observedGeneration"] == 2 for name, each in fleet.statuses().items() if int(name[5:]) < 5),
            timeout_s=60,
            what="seen",
        )
        until(fleet.settled, timeout_s=90, what="all of them settled again", interval_s=1)
        until(lambda: not any(verb == "patch" for verb, _ in fleet.rests(5)), timeout_s=60, what="the last word said")
        before = fleet.versions()
        requests = fleet.rests(20)
    assert [verb for verb, _ in requests if verb not in {"get", "list"}] == []
    assert fleet.versions() == before
    writes = fleet.writes()
    with fleet.operator():
        fleet.rests(15)
    assert fleet.writes() == writes
    assert fleet.versions() == before
