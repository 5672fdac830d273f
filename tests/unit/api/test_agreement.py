"""The CRD and the models are two readers of one manifest: what the server stores, the models understand the same way."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st

from llm_operator.api.base import ApiModel
from llm_operator.api.crd import RESOURCES, Resource
from llm_operator.cli.apiserver import defaulted, refusals
from tests.properties import tried
from tests.unit.api.strategies import specs

SPECS: dict[str, type[ApiModel]] = {resource.kind: resource.spec for resource in RESOURCES}


def manifest(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "llmops.dev/v1alpha1", "kind": kind, "metadata": {"name": "chat"}, "spec": spec}


def same(stored: Any, read: Any) -> bool:
    """Return whether everything the server stored is in what the model read, in whatever spelling a number has."""
    if isinstance(stored, dict):
        return all(not value or (name in read and same(value, read[name])) for name, value in stored.items())
    if isinstance(stored, list):
        return len(stored) == len(read) and all(same(left, right) for left, right in zip(stored, read, strict=True))
    if isinstance(stored, int | float) and isinstance(read, str):
        return Decimal(str(stored)) == Decimal(read)
    return bool(stored == read)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: each.kind)
@tried(20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data())
def test_the_model_reads_what_the_server_stores_with_the_same_defaults_and_what_it_writes_itself(
    resource: Resource, data: st.DataObject
) -> None:
    written = manifest(resource.kind, data.draw(specs(resource.kind)))
    assume(not refusals(written))
    from_written = SPECS[resource.kind].model_validate(written["spec"])
    stored = defaulted(written)["spec"]
    from_stored = SPECS[resource.kind].model_validate(stored)
    assert from_stored == from_written, "the server's defaults are not the model's"
    again = from_stored.to_yaml_dict()
    assert same(stored, again)
    assert SPECS[resource.kind].model_validate(again) == from_stored


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: each.kind)
def test_a_field_of_a_newer_version_is_ignored(resource: Resource) -> None:
    spec = {"model": {"source": "s3://a1b/c"}, "accelerator": {"profile": "cpu"}, "system": "Hello."}
    assert SPECS[resource.kind].model_validate({**spec, "ofTomorrow": 1}) == SPECS[resource.kind].model_validate(spec)
