from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llm_operator.api.llmdeployment import EngineResources
from llm_operator.api.quantities import PATTERN, parse, parse_bytes, parse_milli, render_bytes, render_milli


@pytest.mark.parametrize(
    ("text", "value"),
    [("4", "4"), ("500m", "0.5"), ("64Gi", "68719476736"), ("1.5Ki", "1536"), ("2k", "2000"), ("3M", "3000000"), ("1G", "1000000000")],
)
def test_quantities_are_read_as_kubernetes_writes_them(text: str, value: str) -> None:
    assert parse(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "Gi", "-1", "+1", "1 Gi", "1gi", "1e3", ".5", "1.", "1Gi\n", "\u0661", "0x10"])
def test_anything_else_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity; write it like 4"):
        parse(text)


@given(st.from_regex(PATTERN.replace("$", r"\Z"), fullmatch=True).filter(str.isascii))
def test_whatever_the_pattern_of_the_crd_takes_is_read(text: str) -> None:
    assert parse(text) >= 0


@given(st.integers(0, 2**50))
def test_the_canonical_text_of_a_size_means_the_same(size: int) -> None:
    assert parse_bytes(render_bytes(size)) == size


@given(st.integers(0, 10**9))
def test_the_canonical_text_of_thousandths_means_the_same(value: int) -> None:
    assert parse_milli(render_milli(value)) == value


def test_canonical_texts_are_what_the_server_would_store() -> None:
    assert [render_bytes(size) for size in (0, 1000, 1024, 4 * 2**20, 3 * 2**39)] == ["0", "1000", "1Ki", "4Mi", "1536Gi"]
    assert [render_milli(value) for value in (0, 500, 4000, 1500)] == ["0", "500m", "4", "1500m"]


def test_parts_are_rounded_up_as_kubernetes_does() -> None:
    assert parse_bytes("1.0001Ki") == 1025
    assert parse_milli("0.0001") == 1


def test_a_number_in_yaml_is_as_good_as_its_text() -> None:
    assert EngineResources.model_validate({"cpu": 4}) == EngineResources(cpu="4")


@pytest.mark.parametrize("cpu", [True, 1.5, None, ["1"]])
def test_nothing_but_whole_numbers_and_texts_is_a_quantity(cpu: object) -> None:
    with pytest.raises(ValidationError):
        EngineResources.model_validate({"cpu": cpu})


def test_a_field_refuses_what_is_out_of_its_bounds_with_the_bounds() -> None:
    with pytest.raises(ValidationError, match="must be a quantity from 64Mi to 1Ti"):
        EngineResources(shm="63Mi")
