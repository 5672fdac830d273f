from typing import Annotated, Any, ClassVar, Literal, Optional

import pytest
from pydantic import Field, WithJsonSchema

from llm_operator.api.base import ApiModel, rule
from llm_operator.api.schema import structural


class Leaf(ApiModel):
    """A leaf."""

    size: int = 3
    """How large."""
    note: str | None = None
    """What to remember."""


class Tree(ApiModel):
    """A tree.

    Its description has two paragraphs.
    """

    rules: ClassVar = (rule("self.count > 0", "count must be more than 0"),)

    count: int = Field(ge=0, le=9)
    """How many."""
    large: int = Field(gt=0, lt=2**40)
    """How much."""
    kind: Literal["oak"]
    """Which kind."""
    kinds: Literal["oak", "ash"] = "ash"
    """Which kinds."""
    leaf: Leaf = Leaf()
    """The leaf."""
    optional: Leaf | None = None
    """Another leaf."""
    leaves: tuple[Leaf, ...] = Field(default=(), max_length=4)
    """All leaves."""
    labels: dict[str, str] = Field(default={}, max_length=5)
    """Labels."""
    tags: frozenset[str] = frozenset()
    """Tags."""
    pair: tuple[str, ...] = ("a", "b")
    """A list with a default."""
    ratio: Annotated[float, WithJsonSchema({"type": "number"})] = 0.5
    """A ratio."""


SCHEMA = structural(Tree)
FIELDS = SCHEMA["properties"]


def test_references_are_written_out_and_what_stands_beside_them_wins() -> None:
    assert FIELDS["leaf"]["description"] == "The leaf."
    assert FIELDS["leaf"]["properties"]["size"] == {"description": "How large.", "type": "integer", "format": "int64", "default": 3}


def test_an_optional_field_is_one_that_may_be_absent() -> None:
    assert FIELDS["leaf"]["properties"]["note"] == {"description": "What to remember.", "type": "string"}
    assert "default" not in FIELDS["optional"]
    assert FIELDS["optional"]["type"] == "object"
    assert FIELDS["optional"]["description"] == "Another leaf."


def test_titles_go_and_descriptions_become_one_line() -> None:
    assert "title" not in str(SCHEMA)
    assert SCHEMA["description"] == "A tree. Its description has two paragraphs."


def test_an_open_bound_is_written_as_the_server_knows_it() -> None:
    assert {key: FIELDS["large"][key] for key in FIELDS["large"] if "xim" in key or "nim" in key} == {
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 2**40,
        "exclusiveMaximum": True,
    }


def test_integers_have_the_smallest_format_that_holds_them() -> None:
    assert (FIELDS["count"]["format"], FIELDS["large"]["format"]) == ("int32", "int64")


def test_a_constant_is_a_choice_of_one() -> None:
    assert FIELDS["kind"]["enum"] == ["oak"]


def test_a_set_is_a_list_of_type_set() -> None:
    assert FIELDS["tags"]["x-kubernetes-list-type"] == "set"
    assert "uniqueItems" not in FIELDS["tags"]


def test_an_object_with_defaults_inside_is_empty_by_default_so_that_they_apply() -> None:
    assert FIELDS["leaf"]["default"] == {}


def test_an_empty_list_or_map_is_no_default() -> None:
    assert not [name for name in ("leaves", "labels", "tags") if "default" in FIELDS[name]]


def test_other_defaults_stay() -> None:
    assert (FIELDS["kinds"]["default"], FIELDS["pair"]["default"], FIELDS["ratio"]["default"]) == ("ash", ["a", "b"], 0.5)


def test_rules_stay_with_their_object() -> None:
    assert SCHEMA["x-kubernetes-validations"] == [{"rule": "self.count > 0", "message": "count must be more than 0"}]


class Recursive(ApiModel):
    """It has itself."""

    again: Optional["Recursive"] = None
    """Itself."""


def _model(annotation: Any, default: Any = ...) -> type[ApiModel]:
    return type("Broken", (ApiModel,), {"__annotations__": {"field": annotation}, "field": Field(default=default), "__doc__": "Broken."})


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (int | str, "a union is not structural"),
        (Any, "no type"),
        (tuple[int, str], "prefixItems has no counterpart"),
        (Annotated[str, Field(json_schema_extra={"pattern": "^(?!x)"})], "no look-around"),
        (Annotated[list[Any], Field()], "no type"),
        (Annotated[Any, WithJsonSchema({"type": "array"})], "items of any type"),
        (Annotated[Any, WithJsonSchema({"type": "object"})], "the server would remove everything in it"),
        (Annotated[Any, WithJsonSchema({"type": "object", "additionalProperties": True})], "additionalProperties has no counterpart"),
    ],
)
def test_what_the_server_cannot_express_is_an_error_with_its_path(annotation: Any, message: str) -> None:
    with pytest.raises(TypeError, match=rf"Broken\.field.*{message}"):
        structural(_model(annotation))


def test_a_model_that_contains_itself_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"Recursive\.again.*contains itself"):
        structural(Recursive)


def test_a_default_that_its_fields_do_not_bring_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"Broken\.field: the default \{'size': 4\} is not that of its fields"):
        structural(_model(Leaf, Leaf(size=4)))
