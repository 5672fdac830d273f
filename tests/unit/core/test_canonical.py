import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.core.canonical import alike, canonical, decimal_text, digest, identity, storable

VECTORS = json.loads((Path(__file__).parent / "data" / "canonical.json").read_text())
"""Committed: whoever changes one of them renames everything that is deployed."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: Any) -> Any:
    """The same content with every map in another order."""
    if isinstance(value, dict):
        return {key: shuffled(item) for key, item in reversed(value.items())}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["name"]))
def test_a_golden_vector_has_the_bytes_and_hashes_it_always_had(vector: dict[str, Any]) -> None:
    content = vector["content"]
    assert canonical(content).decode() == vector["canonical"]
    assert digest(content) == vector["digest"]
    assert identity(content) == vector["identity"]


@given(JSON)
def test_the_order_of_keys_means_nothing(value: Any) -> None:
    assert canonical(shuffled(value)) == canonical(value)


@given(JSON)
def test_what_is_absent_and_what_is_null_is_the_same(value: Any) -> None:
    assert canonical({"a": value, "b": None}) == canonical({"a": value})


@given(JSON)
def test_what_was_stored_has_the_hash_of_what_was_meant(value: Any) -> None:
    stored = json.loads(json.dumps(storable(value)))
    assert identity(stored) == identity(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [("0.70", "0.7"), ("7E-1", "0.7"), ("1E+2", "100"), ("100", "100"), ("-0.0", "0"), ("0.000", "0"), ("1.0", "1"), ("-1.50", "-1.5")],
)
def test_a_number_has_one_spelling(value: str, text: str) -> None:
    assert decimal_text(Decimal(value)) == text
    assert storable(Decimal(value)) == text
    assert storable(float(value)) == text


@pytest.mark.parametrize(
    ("value", "stored"), [(2**53, 2**53), (2**53 + 1, str(2**53 + 1)), (-(2**53) - 1, str(-(2**53) - 1)), (True, True)]
)
def test_integers_the_server_would_round_are_text(value: int, stored: object) -> None:
    assert storable(value) == stored


@pytest.mark.parametrize(
    ("other", "result"),
    [
        ({"a": 1, "b": [0.7]}, True),
        ({"b": [Decimal("0.70")], "a": 1, "c": None}, True),
        ({"a": True, "b": [0.7]}, False),
        ({"a": 1}, False),
    ],
)
def test_contents_are_alike_when_their_canonical_json_is(other: object, *, result: bool) -> None:
    assert alike({"a": 1, "b": [0.7]}, other) == result
