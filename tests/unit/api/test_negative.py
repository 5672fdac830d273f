"""The manifests that must be refused, without a server; the integration tests send them to a real one."""

import pytest

from llm_operator.api.config import load_config
from llm_operator.cli.apiserver import refusals
from llm_operator.core.differences import differences
from tests.data.negative import CASES, OPERATOR, SCHEMA, Case, merged


def test_there_are_enough_cases_and_each_has_a_name_of_its_own() -> None:
    assert len(SCHEMA) >= 30
    assert len(OPERATOR) >= 12
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", SCHEMA, ids=lambda case: case.name)
def test_the_schema_refuses_with_the_expected_message(case: Case) -> None:
    told = refusals(case.manifest)
    assert told
    assert not [text for text in case.expect if not any(text in each for each in told)], told


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_one_correction_makes_it_acceptable(case: Case) -> None:
    assert case.corrected != case.manifest
    changed = list(differences(case.manifest, case.corrected))
    assert len(changed) <= 2, f"more than one field is corrected or moved: {changed}"
    assert refusals(case.corrected) == []


@pytest.mark.parametrize("case", OPERATOR, ids=lambda case: case.name)
def test_what_only_the_operator_can_know_passes_the_schema(case: Case) -> None:
    assert refusals(case.manifest) == []
    assert case.reason
    load_config(str(case.config))


def test_a_merge_patch_removes_with_null_and_merges_maps() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": None, "e": 3}, "d": [2]}) == {"a": {"c": 2, "e": 3}, "d": [2]}
    assert merged("text", {"a": {"b": 1}}) == {"a": {"b": 1}}
