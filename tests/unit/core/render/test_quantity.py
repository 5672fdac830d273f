import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api import quantities
from llm_operator.core.render.quantity import canonical_quantity, resources

STORED = json.loads((Path(__file__).parent.parent / "data" / "quantities.json").read_text())
"""What the API server made of quantities in the size limits of a Deployment's volumes."""


@pytest.mark.parametrize("text", sorted(STORED))
def test_a_quantity_is_spelt_as_the_api_server_stores_it(text: str) -> None:
    assert canonical_quantity(text) == STORED[text]


@given(st.decimals(0, 10**6, places=3), st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi"]))
def test_the_canonical_spelling_is_stable_and_no_other_amount(number: Decimal, suffix: str) -> None:
    text = f"{number}{suffix}"
    once = canonical_quantity(text)
    if re.match(quantities.PATTERN, once):  # else it is one a user cannot write
        assert canonical_quantity(once) == once
        assert quantities.parse(once) == quantities.parse(text)


def test_empty_requests_or_limits_are_left_out() -> None:
    assert resources({"cpu": "1000m"}, {}) == {"requests": {"cpu": "1"}}
