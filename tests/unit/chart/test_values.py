"""The chart's values against their schema and against the configuration they become."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from llm_operator.api.config import AcceleratorProfile, EngineProfile
from tests.data.wire import copied

CHART = Path(__file__).resolve().parents[3] / "charts/llm-operator"
VALUES_TEXT = (CHART / "values.yaml").read_text()
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALIDATOR = jsonschema_rs.validator_for(SCHEMA)


VALUES = yaml.safe_load(VALUES_TEXT)


def values(**change: Any) -> dict[str, Any]:
    return {**copied(VALUES), **change}


def image(**change: Any) -> dict[str, Any]:
    return {"image": {**values()["image"], **change}}


def engine(**change: Any) -> dict[str, Any]:
    return {"engineProfiles": {"own": {"kind": "vllm", "image": "registry.example.com/vllm:1", "version": "0.32.0", **change}}}


def accelerator(**change: Any) -> dict[str, Any]:
    return {"acceleratorProfiles": {"own": change}}


def places(candidate: dict[str, Any]) -> set[str]:
    return {"/".join(map(str, error.instance_path)) for error in VALIDATOR.iter_errors(candidate)}


def test_the_default_values_fit_their_schema() -> None:
    assert places(values()) == set()


def test_the_schema_names_every_value_and_no_other() -> None:
    assert set(SCHEMA["properties"]) - {"global"} == set(values())


def test_every_value_stands_under_a_comment() -> None:
    lines = VALUES_TEXT.splitlines()
    bare = {line for above, line in pairwise(lines) if re.match(r"[a-zA-Z]+:", line) and not above.startswith("# ")}
    assert bare == set()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"clusterwide": True}, ""),
        ({"namespaces": "team-a"}, "namespaces"),
        ({"namespaces": ["Team_A"]}, "namespaces/0"),
        ({"namespaces": ["a", "a"]}, "namespaces"),
        ({"clusterWide": "yes"}, "clusterWide"),
        (image(registry="https://registry.example.com"), "image/registry"),
        (image(tag="no spaces"), "image/tag"),
        (image(pullPolicy="Sometimes"), "image/pullPolicy"),
        (image(operator={"name": "llm-operator", "digest": "sha256:abc"}), "image/operator/digest"),
        (image(operator={"name": "llm-operator", "tag": "x"}), "image/operator"),
        ({"admissionPolicy": {"enable": True}}, "admissionPolicy"),
        ({"admissionPolicy": {"extraImages": ["'] + ['*"]}}, "admissionPolicy/extraImages/0"),
        (engine(kind="tgi"), "engineProfiles/own/kind"),
        (engine(version=0.32), "engineProfiles/own/version"),
        (engine(runAsUser=0), "engineProfiles/own/runAsUser"),
        (engine(env={"A": 1}), "engineProfiles/own/env/A"),
        (engine(securityContext={}), "engineProfiles/own"),
        ({"engineProfiles": {"own": {"kind": "vllm"}}}, "engineProfiles/own"),
        ({"engineProfiles": None}, "engineProfiles"),
        ({"engineProfiles": {}}, "engineProfiles"),
        ({"acceleratorProfiles": None}, "acceleratorProfiles"),
        ({"acceleratorProfiles": {}}, "acceleratorProfiles"),
        (accelerator(resource="gpu"), "acceleratorProfiles/own/resource"),
        (accelerator(memory="24 GB"), "acceleratorProfiles/own/memory"),
        (accelerator(tolerations=[{"key": "a", "op": "Exists"}]), "acceleratorProfiles/own/tolerations/0"),
        ({"sources": {"schemes": ["hf"]}}, "sources/schemes/0"),
        ({"sources": {"schemes": []}}, "sources/schemes"),
        ({"gates": {"prometheus": {"url": "prometheus:9090"}}}, "gates/prometheus/url"),
        ({"gates": {"prometheus": {"url": "http://user:word@prometheus:9090"}}}, "gates/prometheus/url"),
        ({"gates": {"prometheus": {"tokenSecret": {"name": "a", "key": "b"}}}}, "gates/prometheus"),
        ({"gates": {"webhooks": {"judge": {"url": "https://judge", "tokenSecret": {"name": "a"}}}}}, "gates/webhooks/judge/tokenSecret"),
        ({"gates": {"webhooks": {"judge": {}}}}, "gates/webhooks/judge"),
        ({"gates": {"webhooks": {"judge": None}}}, "gates/webhooks/judge"),
        ({"modelCheckSeconds": 1}, "modelCheckSeconds"),
        ({"resyncSeconds": 1}, "resyncSeconds"),
        ({"logLevel": "debug"}, "logLevel"),
        ({"replicas": "two"}, "replicas"),
        ({"resources": {"limits": {"memory": "lots"}}}, "resources/limits/memory"),
        ({"resources": {"limits": {"cpu": -0.5}}}, "resources/limits/cpu"),
        ({"networkPolicy": True}, "networkPolicy"),
        ({"fullnameOverride": "UPPER"}, "fullnameOverride"),
    ],
)
def test_a_bad_value_is_refused_at_its_place(change: dict[str, Any], place: str) -> None:
    assert places(values(**change)) == {place}


@pytest.mark.parametrize(
    "change",
    [
        image(registry="localhost:5000/llm", tag="v1.2.3"),
        {"namespaces": ["team-a", "team-b"]},
        {"engineProfiles": {"vllm": None}},
        engine(
            image="registry.example.com:5000/vllm@sha256:" + "0" * 64, command=["vllm", "serve"], env={"A": "1"}, imagePullPolicy="Never"
        ),
        accelerator(),
        accelerator(resource=None),
        accelerator(memory=24_000_000_000),
        {"sidecarResources": {"requests": {"cpu": 0.5, "memory": "256Mi"}, "limits": {"cpu": 2}}},
        {"admissionPolicy": {"enabled": False, "extraImages": ["old.example.com/llm/llm-sidecar"]}},
        {"gates": {"prometheus": {"url": "http://prometheus.monitoring:9090/prefix", "tokenSecret": {"name": "reader", "key": "token"}}}},
        {"gates": {"webhooks": {"judge": {"url": "https://judge.example.com/verdict"}}}},
        {"global": {"anything": "of a parent chart"}},
    ],
)
def test_a_good_value_is_taken(change: dict[str, Any]) -> None:
    assert places(values(**change)) == set()


@pytest.mark.parametrize("missing", ["engineProfiles", "acceleratorProfiles"])
def test_helm_leaves_out_what_is_null_and_profiles_must_not_be_left_out(missing: str) -> None:
    left = values()
    del left[missing]
    assert places(left) == {""}


@pytest.mark.parametrize(("definition", "model"), [("engineProfile", EngineProfile), ("acceleratorProfile", AcceleratorProfile)])
def test_a_profile_has_the_fields_the_operator_reads(definition: str, model: type[EngineProfile | AcceleratorProfile]) -> None:
    assert set(SCHEMA["$defs"][definition]["properties"]) == set(model.model_json_schema(by_alias=True)["properties"])


def test_the_profiles_of_the_chart_are_profiles_of_the_operator() -> None:
    for profile in values()["engineProfiles"].values():
        EngineProfile.model_validate(profile)
    for profile in values()["acceleratorProfiles"].values():
        AcceleratorProfile.model_validate(profile)
