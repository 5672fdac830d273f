"""Requests, triggers and plans as data."""

import json

import pytest

from tests.lab.faults.asked import Asked, read
from tests.lab.faults.plan import Action, Plan, Trigger, open_name

APPLY = "application/apply-patch+yaml"


@pytest.mark.parametrize(
    ("method", "path", "query", "content_type", "asked"),
    [
        ("GET", "/api/v1/namespaces/ns/pods", {}, "", Asked("list", "pods", namespace="ns")),
        ("GET", "/api/v1/pods", {"watch": "true"}, "", Asked("watch", "pods")),
        ("GET", "/apis/apps/v1/namespaces/ns/deployments/d", {}, "", Asked("get", "deployments", namespace="ns", name="d")),
        ("PATCH", "/api/v1/namespaces/ns/services/s", {}, APPLY, Asked("apply", "services", namespace="ns", name="s")),
        ("PATCH", "/apis/g/v1/namespaces/ns/as/a/status", {}, APPLY, Asked("apply", "as", "status", "ns", "a")),
        ("PATCH", "/api/v1/namespaces/ns/pods/p", {}, "application/merge-patch+json", Asked("patch", "pods", namespace="ns", name="p")),
        ("POST", "/api/v1/namespaces/ns/pods", {}, "", Asked("create", "pods", namespace="ns")),
        ("PUT", "/apis/g/v1/namespaces/ns/leases/l", {}, "", Asked("update", "leases", namespace="ns", name="l")),
        ("DELETE", "/api/v1/namespaces/ns/pods/p", {}, "", Asked("delete", "pods", namespace="ns", name="p")),
        ("DELETE", "/api/v1/namespaces/ns/pods", {}, "", Asked("deletecollection", "pods", namespace="ns")),
        ("GET", "/api/v1/namespaces/ns", {}, "", Asked("get", "namespaces", name="ns")),
        ("GET", "/apis", {}, "", Asked("list", "")),
    ],
)
def test_a_request_is_read_as_a_verb_on_a_resource(method: str, path: str, query: dict[str, str], content_type: str, asked: Asked) -> None:
    assert read(method, path, query, content_type) == asked


def test_a_plan_is_its_json_and_keeps_its_id() -> None:
    plan = Plan("engine", Trigger("apply", "services", name="chat-*", nth=2, step="engine"), Action("status", 503, times=3))
    again = Plan.load(json.loads(plan.dump()))
    assert again == plan
    assert again.id == plan.id
    assert plan.id.startswith("engine-status503-before-services-")


def test_plans_that_differ_have_different_ids() -> None:
    plans = [Plan("create", Trigger("apply", "services", nth=nth), Action(do)) for nth in (1, 2) for do in ("kill", "reset")]
    assert len({plan.id for plan in plans}) == 4


@pytest.mark.parametrize(
    ("resource", "name", "opened"),
    [
        ("services", "chat", "chat"),
        ("services", "chat-3iwygglgn3", "chat-*"),
        ("jobs", "chat-resolve-m557ixrogc", "chat-resolve-*"),
        ("pods", "chat-resolve-m557ixrogc-894n7", "chat-resolve-*"),
        ("pods", "chat-3iwygglgn3-67848f9947-64g5c", "chat-*"),
        ("pods", "chat-3iwygglgn3-d5cbcc9-64g5c", "chat-*"),
        ("pods", "chat-entry-67848f994-64g5c", "chat-entry-*"),
        ("events", "chat.7o2hm3ylcs", "chat.*"),
        ("configmaps", "chat-snapshot", "chat-snapshot"),
    ],
)
def test_names_are_opened_where_they_differ_from_run_to_run(resource: str, name: str, opened: str) -> None:
    assert open_name(resource, name) == opened
