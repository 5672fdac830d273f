"""Routes on a real API server: without the Gateway API, with its real CRD, and without the right."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llm_operator.api.config import OperatorConfig
from llm_operator.core import kinds
from tests.fakes.objects import llm_deployment, operator_config
from tests.integration.chart.kit import establish, kubectl
from tests.integration.conftest import ROOT, manifests
from tests.integration.operating import RunningOperator
from tests.integration.server import Server, condition
from tests.integration.test_lifecycle import wait_settled
from tests.lab.builds import http_route_crd
from tests.lab.wait import until

Object = dict[str, Any]

EXAMPLE = ROOT / "examples/gateway.yaml"
EDGE = {"name": "edge", "namespace": "infra"}
ROUTING = {"gateway": {"parentRefs": [EDGE], "hostnames": ["llm.example.com"]}}
CRD = "httproutes.gateway.networking.k8s.io"
SOON_S = 40
"""A kind that comes is looked for every 15 s."""


@pytest.fixture(scope="module")
def place(spaces: Callable[[], str], operators: Callable[[OperatorConfig], RunningOperator]) -> Iterator[str]:
    """Return a namespace of an operator that may make routes; a cluster that has the kind by then has it no more."""
    kubectl("delete", f"crd/{CRD}", "--ignore-not-found")
    name = spaces()
    operators(operator_config(namespaces=[name], gateway=True))
    yield name
    kubectl("delete", f"crd/{CRD}", "--ignore-not-found")


@pytest.fixture(scope="module")
def gateway_api(server: Server, place: str) -> Server:
    """Return the server once it has the Gateway API."""
    assert place
    kubectl("apply", "--server-side", f"--filename={http_route_crd()}")
    establish(CRD)
    return server


def route_reason(server: Server, namespace: str, name: str) -> str:
    return str(condition(server.status(namespace, name), "RouteAccepted").get("reason", ""))


def says(server: Server, namespace: str, name: str, parent: Object, **conditions: str) -> None:
    """Say something of a route as a gateway controller does."""
    generation = server.must(kinds.HTTP_ROUTE, namespace, name)["metadata"]["generation"]
    common = {"lastTransitionTime": "2026-11-27T12:00:00Z", "observedGeneration": generation, "reason": "Said", "message": "it is so"}
    told = [{**common, "type": kind, "status": status} for kind, status in conditions.items()]
    reference = {"group": kinds.HTTP_ROUTE.group, "kind": "Gateway", **parent}
    status = {"status": {"parents": [{"parentRef": reference, "controllerName": "example.com/edge", "conditions": told}]}}
    server.merge(kinds.HTTP_ROUTE, namespace, name, status, "status")


def test_without_the_gateway_api_everything_else_goes_on(server: Server, place: str) -> None:
    server.create(llm_deployment("chat", place, routing=ROUTING), place)
    status = wait_settled(server, place, "chat")["status"]
    assert (status["phase"], condition(status, "RouteAccepted")["reason"]) == ("Ready", "KindMissing")
    assert "httproutes.gateway.networking.k8s.io/v1" in condition(status, "RouteAccepted")["message"]


def test_once_it_has_come_the_route_is_made_and_what_gateways_say_is_mirrored(gateway_api: Server, place: str) -> None:
    until(lambda: gateway_api.get(kinds.HTTP_ROUTE, place, "chat"), timeout_s=SOON_S, what="the route")
    until(lambda: route_reason(gateway_api, place, "chat") == "RoutePending", timeout_s=SOON_S, what="it to be told of")
    says(gateway_api, place, "chat", EDGE, Accepted="True", ResolvedRefs="True")
    until(lambda: route_reason(gateway_api, place, "chat") == "Accepted", timeout_s=SOON_S, what="the word of the gateway")
    (parent,) = gateway_api.status(place, "chat")["route"]["parents"]
    assert (parent["gateway"], parent["controller"], len(parent["conditions"])) == ("infra/edge", "example.com/edge", 2)
    says(gateway_api, place, "chat", EDGE, Accepted="False", ResolvedRefs="True")
    until(lambda: route_reason(gateway_api, place, "chat") == "Said", timeout_s=SOON_S, what="its refusal")
    assert gateway_api.status(place, "chat")["phase"] == "Ready"


def test_the_server_stores_a_route_as_it_is_rendered_so_a_second_look_writes_nothing(gateway_api: Server, place: str) -> None:
    until(lambda: gateway_api.get(kinds.HTTP_ROUTE, place, "chat"), timeout_s=SOON_S, what="the route")
    live = gateway_api.must(kinds.HTTP_ROUTE, place, "chat")
    gateway_api.merge(kinds.LLM_DEPLOYMENT, place, "chat", {"metadata": {"annotations": {"a": "look again"}}})
    wait_settled(gateway_api, place, "chat")
    again = gateway_api.must(kinds.HTTP_ROUTE, place, "chat")
    assert again["metadata"]["generation"] == live["metadata"]["generation"]
    (mine,) = (each for each in again["metadata"]["managedFields"] if each["operation"] == "Apply")
    (before,) = (each for each in live["metadata"]["managedFields"] if each["operation"] == "Apply")
    assert mine["time"] == before["time"], "it was applied once"


def test_whatever_somebody_changes_in_a_route_is_set_right(gateway_api: Server, place: str) -> None:
    until(lambda: gateway_api.get(kinds.HTTP_ROUTE, place, "chat"), timeout_s=SOON_S, what="the route")
    right = gateway_api.must(kinds.HTTP_ROUTE, place, "chat")["spec"]
    wrong = copy.deepcopy(right["rules"])
    wrong[0]["timeouts"]["request"] = "15s"
    wrong[0]["backendRefs"][0]["name"] = "elsewhere"
    gateway_api.merge(kinds.HTTP_ROUTE, place, "chat", {"spec": {"rules": wrong, "hostnames": ["elsewhere.example.com"]}})
    until(lambda: gateway_api.must(kinds.HTTP_ROUTE, place, "chat")["spec"] == right, timeout_s=SOON_S, what="the route set right")
    kubectl("--namespace", place, "delete", "httproute/chat")
    until(lambda: gateway_api.get(kinds.HTTP_ROUTE, place, "chat"), timeout_s=SOON_S, what="the route made again")


def test_the_example_gives_a_route_that_the_gateway_api_accepts(gateway_api: Server, place: str) -> None:
    (wanted,) = manifests(EXAMPLE)
    wanted["spec"] |= {"model": {"source": "s3://models/tiny"}, "accelerator": {"profile": "cpu"}}
    gateway_api.create(wanted, place)
    name = wanted["metadata"]["name"]
    until(lambda: gateway_api.get(kinds.HTTP_ROUTE, place, name), timeout_s=SOON_S, what="its route")
    asked = wanted["spec"]["routing"]["gateway"]
    spec = gateway_api.must(kinds.HTTP_ROUTE, place, name)["spec"]
    assert spec["hostnames"] == asked["hostnames"]
    assert [{key: each[key] for key in asked["parentRefs"][0]} for each in spec["parentRefs"]] == asked["parentRefs"]
    assert spec["rules"][0]["timeouts"] == {"request": "0s"}


def test_what_the_gateway_api_refuses_is_told_in_its_words(gateway_api: Server, place: str) -> None:
    both = [{"name": "edge"}, {"name": "edge", "sectionName": "https"}]
    gateway_api.create(llm_deployment("mixed", place, routing={"gateway": {"parentRefs": both}}), place)
    status = wait_settled(gateway_api, place, "mixed")["status"]
    said = condition(status, "RouteAccepted")
    assert (said["status"], said["reason"]) == ("False", "Refused")
    assert "sectionName must be specified when parentRefs includes 2 or more references to the same parent" in said["message"]
    assert status["phase"] == "Ready"


def test_a_route_goes_when_it_is_not_asked_for_any_more(gateway_api: Server, place: str) -> None:
    gateway_api.create(llm_deployment("brief", place, routing=ROUTING), place)
    until(lambda: gateway_api.get(kinds.HTTP_ROUTE, place, "brief"), timeout_s=SOON_S, what="the route")
    gateway_api.merge(kinds.LLM_DEPLOYMENT, place, "brief", {"spec": {"routing": None}})
    until(lambda: gateway_api.get(kinds.HTTP_ROUTE, place, "brief") is None, timeout_s=SOON_S, what="no route")
    until(lambda: not route_reason(gateway_api, place, "brief"), timeout_s=SOON_S, what="no word of it")
    assert "route" not in gateway_api.status(place, "brief")


def test_a_route_goes_with_its_deployment(gateway_api: Server, place: str) -> None:
    gateway_api.create(llm_deployment("gone", place, routing=ROUTING), place)
    until(lambda: gateway_api.get(kinds.HTTP_ROUTE, place, "gone"), timeout_s=SOON_S, what="the route")
    gateway_api.delete(kinds.LLM_DEPLOYMENT, place, "gone")
    until(lambda: gateway_api.get(kinds.HTTP_ROUTE, place, "gone") is None, timeout_s=SOON_S, what="the route collected")


def test_without_the_right_everything_else_goes_on(
    gateway_api: Server, spaces: Callable[[], str], own_roles: Callable[[list[str]], str]
) -> None:
    namespace = spaces()
    with RunningOperator(operator_config(namespaces=[namespace], gateway=True, nudge=False), own_roles([namespace])):
        gateway_api.create(llm_deployment("chat", namespace, routing=ROUTING), namespace)
        until(lambda: route_reason(gateway_api, namespace, "chat") == "Forbidden", timeout_s=SOON_S, what="the lack of a right told of")
        wait_settled(gateway_api, namespace, "chat", timeout_s=150)


def test_the_crd_takes_a_gateway_once_and_no_address_as_host_name(gateway_api: Server, place: str) -> None:
    twice = llm_deployment("twice", place, routing={"gateway": {"parentRefs": [EDGE, EDGE]}})
    with pytest.raises(AssertionError, match="may be named once"):
        kubectl("create", "--filename=-", "--dry-run=server", stdin=json.dumps(twice))
    elsewhere = llm_deployment("elsewhere", place, routing={"gateway": {"parentRefs": [EDGE], "hostnames": ["https://a.example.com"]}})
    with pytest.raises(AssertionError, match="hostnames"):
        kubectl("create", "--filename=-", "--dry-run=server", stdin=json.dumps(elsewhere))
    assert gateway_api.get(kinds.LLM_DEPLOYMENT, place, "twice") is None
