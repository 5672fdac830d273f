import re
from collections.abc import Iterator
from typing import Any

import cel
import kubernetes_validate
import pytest

from llm_operator.api.crd import LLM_DEPLOYMENT, LLM_PROMPT, RESOURCES, Resource
from llm_operator.api.generate import crd_yaml
from llm_operator.cli.apiserver import _broken_rules, schema_of

MAX_BYTES = 200 * 1024
STRUCTURAL = {
    *("type", "description", "format", "enum", "default", "properties", "required", "additionalProperties", "items", "pattern", "anyOf"),
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minimum", "maximum"),
    *("exclusiveMinimum", "x-kubernetes-validations", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
}


def nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for suffix, key in (("[]", "items"), ("{}", "additionalProperties")):
        if key in schema:
            yield from nodes(schema[key], path + suffix)


SCHEMAS = {resource.kind: schema_of(resource.kind) for resource in RESOURCES}
SPECS, STATUSES = (
    [node for kind, schema in SCHEMAS.items() for node in nodes(schema["properties"][part], f"{kind}.{part}")]
    for part in ("spec", "status")
)
NODES = SPECS + STATUSES
RULES = [(path, rule) for path, node in NODES for rule in node.get("x-kubernetes-validations", ())]


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: each.kind)
def test_the_definition_is_one_the_server_knows(resource: Resource) -> None:
    kubernetes_validate.validate(resource.render(), "1.37", strict=True)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: each.kind)
def test_the_definition_is_small_enough_for_kubectl_apply(resource: Resource) -> None:
    assert len(crd_yaml(resource).encode()) < MAX_BYTES


@pytest.mark.parametrize(("path", "node"), NODES, ids=[path for path, _ in NODES])
def test_every_part_is_structural_and_bounded(path: str, node: dict[str, Any]) -> None:
    assert not node.keys() - STRUCTURAL
    assert "type" in node or node.get("x-kubernetes-int-or-string"), path
    match node.get("type"):
        case "string":
            assert "maxLength" in node or "enum" in node or node.get("format") == "date-time", "a rule's cost needs a length"
        case "array":
            assert "maxItems" in node, "a rule's cost needs a number of items"
        case "object" if "additionalProperties" in node:
            assert "maxProperties" in node, "a rule's cost needs a number of entries"
        case "integer":
            assert node["format"] in {"int32", "int64"}
            assert "minimum" in node
        case "number":
            assert {"minimum", "maximum"} <= node.keys()
    if "[]" not in path.rpartition(".")[2] and "{}" not in path.rpartition(".")[2]:
        assert node["description"].endswith("."), "kubectl explain shows it"
    assert not re.search(r"\(\?<?[=!]", node.get("pattern", "")), "the server's patterns have no look-around"


def test_integers_of_the_spec_have_an_upper_bound() -> None:
    assert not [path for path, node in SPECS if node.get("type") == "integer" and "maximum" not in node]


def test_a_status_has_no_defaults() -> None:
    assert not [path for path, node in STATUSES if "default" in node]


def test_no_field_has_nothing_as_its_default() -> None:
    assert not [path for path, node in NODES if node.get("default", ...) is None]


def test_a_required_field_has_no_default() -> None:
    assert not [f"{path}.{name}" for path, node in NODES for name in node.get("required", ()) if "default" in node["properties"][name]]


def test_no_field_names_another_namespace_but_that_of_a_gateway_which_says_itself_who_may_join_it() -> None:
    named = [path for path, _ in SPECS if path.lower().endswith("namespace")]
    assert named == ["LLMDeployment.spec.routing.gateway.parentRefs[].namespace"]


def test_no_field_lets_a_tenant_shape_the_pod() -> None:
    forbidden = r"(podTemplate|serviceAccount|securityContext|volumes?|hostPath|command|env|image|nodeSelector|tolerations|template\.spec)"
    assert not [path for path, _ in SPECS if re.search(rf"\.{forbidden}(\.|$)", path)]


def test_conditions_are_a_map_by_type_so_that_two_writers_do_not_clash() -> None:
    for path, node in STATUSES:
        if path.endswith(".conditions"):
            assert (node["x-kubernetes-list-type"], node["x-kubernetes-list-map-keys"]) == ("map", ["type"])


@pytest.mark.parametrize(("path", "rule"), RULES, ids=[path for path, _ in RULES])
def test_every_rule_compiles_and_says_what_to_do(path: str, rule: dict[str, str]) -> None:
    cel.compile(rule["rule"])
    assert rule["message"], path


def test_every_default_keeps_the_rules_before_its_own_fields_have_theirs() -> None:
    defaults = [(path, node) for path, node in NODES if "default" in node]
    assert len(defaults) > 40
    assert not [(path, words) for path, node in defaults for words in _broken_rules(node["default"], node, path)]


def test_the_scale_subresource_is_what_autoscalers_drive() -> None:
    version = LLM_DEPLOYMENT.render()["spec"]["versions"][0]
    assert version["subresources"] == {
        "status": {},
        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"},
    }
    assert "scale" not in LLM_PROMPT.render()["spec"]["versions"][0]["subresources"]


def test_kubectl_get_llm_shows_the_state_and_wide_the_rest() -> None:
    columns = LLM_DEPLOYMENT.render()["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [column["name"] for column in columns if "priority" not in column] == [
        "READY",
        "PHASE",
        "REPLICAS",
        "STABLE",
        "CANARY",
        "WEIGHT",
        "AGE",
    ]
    assert [column["name"] for column in columns if column.get("priority") == 1] == ["MODEL", "PROMPT", "REASON"]
    assert LLM_DEPLOYMENT.render()["spec"]["names"]["shortNames"] == ["llm"]


def test_every_column_shows_a_field_there_is() -> None:
    for resource in RESOURCES:
        known = {path.partition(".")[2] for path, _ in nodes(resource.schema(), resource.kind)}
        for column in resource.columns:
            path = re.sub(r"\[\?\(.*?\)\]", "[]", column.path).removeprefix(".")
            assert path in known or path == "metadata.creationTimestamp", column.name


def test_only_a_field_of_the_metadata_the_server_allows_is_restricted() -> None:
    for resource in RESOURCES:
        assert resource.schema()["properties"]["metadata"] == {"type": "object"}
