"""What stub sidecars report, from the pods and snapshots they were told of."""

import json
from typing import Any

from llm_operator.core import names
from llm_operator.shell.telemetry import read_report
from llm_sidecar.table import TABLE_KEY, WHOLE, Route, Table, encode
from tests.lab.stubs.sidecars import Sidecars

Object = dict[str, Any]


def pod(uid: str, engine: str, address: str, *, ready: bool = True, **metadata: Any) -> Object:
    labels = {**names.managed_labels("chat"), names.LABEL_ENGINE: engine}
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {
        "metadata": {"namespace": "ns", "name": uid, "uid": uid, "labels": labels, **metadata},
        "status": {"phase": "Running", "podIP": address, "conditions": conditions},
    }


def snapshot(*routes: Route, generation: int = 3) -> Object:
    live = Table(generation=generation, stable=routes[0].revision, routes=routes)
    metadata = {"namespace": "ns", "name": "chat-snapshot", "labels": names.managed_labels("chat")}
    return {"metadata": metadata, "data": {TABLE_KEY: encode(live).decode()}}


def route(revision: str, engine: str, weight: int = 0) -> Route:
    return Route(revision=revision, engine=engine, bundle=f"bundle-{revision}.json", weight=weight)


def two_engines() -> Sidecars:
    sidecars = Sidecars()
    sidecars.heard_config_map("ADDED", snapshot(route("r1", "e1", WHOLE), route("r2", "e2")))
    sidecars.heard_pod("ADDED", pod("one", "e1", "10.0.0.1"))
    sidecars.heard_pod("ADDED", pod("two", "e2", "10.0.0.2"))
    return sidecars


def test_a_pod_reports_the_revision_of_its_engine_and_whom_it_reaches() -> None:
    status = two_engines().status("10.0.0.2")
    assert status is not None
    assert (status["engine"], status["revision"], status["generation"], status["ready"]) == ("e2", "r2", 3, True)
    assert (status["reaches"], status["revisions"]) == (["e1"], ["r2"])


def test_an_engine_without_a_ready_pod_is_not_reached() -> None:
    sidecars = two_engines()
    sidecars.heard_pod("MODIFIED", pod("one", "e1", "10.0.0.1", ready=False))
    status = sidecars.status("10.0.0.2")
    assert status is not None
    assert status["reaches"] == []


def test_an_entry_reaches_all_and_serves_nothing_itself() -> None:
    sidecars = two_engines()
    sidecars.heard_pod("ADDED", pod("entry", "", "10.0.0.3"))
    status = sidecars.status("10.0.0.3")
    assert status is not None
    assert (status["engine"], status["reaches"], status["revisions"]) == ("", ["e1", "e2"], [])


def test_the_operator_can_read_the_report() -> None:
    report = read_report(json.dumps(two_engines().status("10.0.0.1")).encode())
    assert report is not None
    assert (report.engine, report.revision, *(report.reaches or ()), *report.revisions) == ("e1", "r1", "e2", "r1")


def test_nobody_answers_before_there_is_a_snapshot_or_at_an_address_without_a_pod() -> None:
    sidecars = Sidecars()
    sidecars.heard_pod("ADDED", pod("one", "e1", "10.0.0.1"))
    assert sidecars.status("10.0.0.1") is None
    assert two_engines().status("10.0.0.9") is None


def test_an_address_given_out_again_belongs_to_the_later_pod_whatever_comes_first() -> None:
    sidecars = two_engines()
    later = pod("later", "e2", "10.0.0.1")
    sidecars.heard_pod("MODIFIED", later)
    sidecars.heard_pod("DELETED", pod("one", "e1", "10.0.0.1"))
    assert sidecars.pod_at("10.0.0.1") == later


def test_a_broken_snapshot_leaves_what_was_there() -> None:
    sidecars = two_engines()
    broken = snapshot(route("r1", "e1"))
    broken["data"] = {TABLE_KEY: "{"}
    sidecars.heard_config_map("MODIFIED", broken)
    status = sidecars.status("10.0.0.1")
    assert status is not None
    assert status["generation"] == 3
