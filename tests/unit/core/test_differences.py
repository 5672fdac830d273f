from typing import Any

import pytest

from llm_operator.core.differences import differences, listed


@pytest.mark.parametrize(
    ("one", "other", "paths"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a.b"]),
        ({"a": {"b": 1}}, {"a": {}}, ["a.b"]),
        ({"a": {"b": 1}}, {}, ["a"]),
        ({"c": [{"name": "x", "v": 1}]}, {"c": [{"name": "x", "v": 2}]}, ["c[x].v"]),
        ({"c": [{"name": "x"}]}, {"c": [{"name": "x"}, {"name": "y"}]}, ["c[y]"]),
        ({"c": [{"name": "x"}, {"name": "y"}]}, {"c": [{"name": "y"}, {"name": "x"}]}, ["c"]),
        ({"c": [1, 2]}, {"c": [2, 1]}, ["c"]),
        ({"c": [{"port": 1}]}, {"c": [{"port": 2}]}, ["c"]),
    ],
)
def test_each_difference_is_named_by_its_path(one: Any, other: Any, paths: list[str]) -> None:
    assert list(differences(one, other)) == paths
    assert list(differences(other, one)) == paths


def test_a_sentence_names_three_and_counts_the_rest() -> None:
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert listed([]) == ""
