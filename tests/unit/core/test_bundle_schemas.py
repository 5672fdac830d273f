"""One committed bundle per released schema, with everything in it that the schema has."""

from pathlib import Path

import pytest

from llm_operator.core.identity import make_revision
from llm_sidecar.bundle import SCHEMA_VERSION, decode, encode, needed_schema
from llm_sidecar.compile import check

BUNDLES = Path(__file__).parents[2] / "data" / "bundles"
REVISIONS = {1: "ysmsjk3ach", 2: "6wnsphylu3", 3: "pwa76o6t6t"}
"""Committed: whoever changes one of them makes every revision that is deployed a new one."""


def test_every_schema_has_its_bundle() -> None:
    schemas = range(1, SCHEMA_VERSION + 1)
    assert list(REVISIONS) == list(schemas)
    assert sorted(path.name for path in BUNDLES.iterdir()) == [f"schema-{schema}.json" for schema in schemas]


@pytest.mark.parametrize("schema", REVISIONS)
def test_a_bundle_of_an_earlier_release_still_runs_and_is_the_same_revision(schema: int) -> None:
    text = (BUNDLES / f"schema-{schema}.json").read_bytes().strip()
    bundle = decode(text)
    check(bundle)
    assert encode(bundle) == text
    assert needed_schema(bundle) == bundle.schema_version == schema
    assert make_revision("engine1", bundle).id == REVISIONS[schema]
