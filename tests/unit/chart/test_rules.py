"""The rules of the chart's Role against the operator's table of kinds."""

from typing import Any

import pytest
import yaml

from hack import generate_rbac
from llm_operator.core import kinds
from llm_operator.core.kinds import Kind
from llm_operator.core.render.meta import Owner

EVERYDAY = {"get", "list", "watch", "create", "patch", "delete"}


def block(name: str) -> list[dict[str, Any]]:
    """Return the rules of one named template of the committed file."""
    text = generate_rbac.TARGET.read_text()
    body = text.split(f'{{{{- define "{name}" -}}}}')[1].split("{{- end }}")[0]
    rules: list[dict[str, Any]] = yaml.safe_load(body.replace(generate_rbac.OWN_LEASE, "the-lease"))
    return rules


def spread(rules: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb) for rule in rules for group in rule["apiGroups"] for resource in rule["resources"] for verb in rule["verbs"]
    }


def table() -> set[tuple[str, str, str]]:
    return {(kind.group, resource, verb) for kind in kinds.ALL for resource, verbs in kind.rights.items() for verb in verbs}


def test_the_committed_rules_are_what_the_table_of_kinds_generates() -> None:
    assert generate_rbac.TARGET.read_text() == generate_rbac.render()


def test_all_rules_together_grant_every_verb_of_the_table_and_no_other() -> None:
    assert spread(block("llm-operator.rules")) | spread(block("llm-operator.rules.nudge")) == table()


def test_patch_on_pods_is_the_one_right_that_is_kept_apart() -> None:
    assert spread(block("llm-operator.rules.nudge")) == {("", "pods", "patch")}
    assert spread(block("llm-operator.rules")) == table() - {("", "pods", "patch")}


def test_the_rights_to_routes_are_apart_for_those_who_enable_them() -> None:
    route = kinds.HTTP_ROUTE
    assert spread(block("llm-operator.rules.gateway")) == {(route.group, route.plural, verb) for verb in EVERYDAY}
    assert route not in kinds.ALL


def test_the_right_to_look_for_other_scalers_is_apart_and_only_to_list_them() -> None:
    assert spread(block("llm-operator.rules.scalers")) == {(each.group, each.plural, "list") for each in kinds.SCALERS}
    assert not set(kinds.SCALERS) & set(kinds.ALL)


def test_of_leases_one_may_be_read_and_written_and_none_listed_or_deleted() -> None:
    assert block("llm-operator.rules.lease") == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "update"], "resourceNames": ["the-lease"]},
    ]


def test_no_rule_reaches_secrets_commands_in_pods_accounts_roles_or_nodes() -> None:
    resources = {resource.split("/")[0] for _, resource, _ in table()}
    assert resources.isdisjoint({"secrets", "serviceaccounts", "roles", "rolebindings", "clusterroles", "clusterrolebindings", "nodes"})
    subresources = {"llmdeployments/status", "llmdeployments/finalizers", "llmprompts/status"}
    assert {resource for _, resource, _ in table() if "/" in resource} == subresources


def test_children_may_hold_up_the_deletion_of_their_owner_where_a_cluster_asks_whether_they_may() -> None:
    reference = Owner("chat", "team-a", "uid").reference
    assert reference["blockOwnerDeletion"]
    assert reference["kind"] == kinds.LLM_DEPLOYMENT.kind
    assert (kinds.LLM_DEPLOYMENT.group, f"{kinds.LLM_DEPLOYMENT.plural}/finalizers", "update") in spread(block("llm-operator.rules"))
    assert [right for right in table() if right[1].endswith("/finalizers")] == [("llmops.dev", "llmdeployments/finalizers", "update")]


def test_no_rule_has_a_wildcard_or_a_verb_beyond_reading_and_writing() -> None:
    granted = table()
    assert "*" not in {part for grant in granted for part in grant}
    assert {verb for _, resource, verb in granted if not resource.endswith("/finalizers")} <= EVERYDAY


def test_pods_are_never_created_or_deleted() -> None:
    assert {verb for _, resource, verb in table() if resource == "pods"} == {"list", "watch", "patch"}


def test_an_event_is_written_and_never_read() -> None:
    assert {verb for _, resource, verb in table() if resource == "events"} == {"create", "patch"}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind("", "v1", "things", "Thing", ("get", "list")), {("", "things"): ("get", "list")}),
        (Kind("a.dev", "v1", "things", "Thing", (), ("patch",)), {("a.dev", "things/status"): ("patch",)}),
        (Kind("a.dev", "v1", "things", "Thing", (), (), ("update",)), {("a.dev", "things/finalizers"): ("update",)}),
        (Kind("a.dev", "v1", "things", "Thing"), {}),
    ],
    ids=["verbs are granted on objects", "status verbs only on status", "others only on finalizers", "a kind without verbs grants nothing"],
)
def test_grants_follow_a_kind(kind: Kind, expected: generate_rbac.Grants) -> None:
    assert generate_rbac.grants((kind,)) == expected


def test_resources_of_a_group_with_the_same_verbs_share_a_rule() -> None:
    granted: generate_rbac.Grants = {
        ("b.dev", "two"): ("get",),
        ("b.dev", "one"): ("get",),
        ("", "one"): ("get",),
        ("b.dev", "x"): ("list",),
    }
    assert yaml.safe_load(generate_rbac.rules(granted)) == [
        {"apiGroups": [""], "resources": ["one"], "verbs": ["get"]},
        {"apiGroups": ["b.dev"], "resources": ["one", "two"], "verbs": ["get"]},
        {"apiGroups": ["b.dev"], "resources": ["x"], "verbs": ["list"]},
    ]
