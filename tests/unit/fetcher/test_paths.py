from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.paths import check_together, checked_path


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/etc/passwd", "absolute"),
        ("../secret", "climbs out"),
        ("a/../../secret", "climbs out"),
        ("..", "climbs out"),
        ("a//b", "empty or '.' part"),
        ("a/./b", "empty or '.' part"),
        ("", "empty or '.' part"),
        ("a/", "empty or '.' part"),
        ("a\\b", "backslash"),
        ("a\nb", "unprintable"),
        ("a\0b", "unprintable"),
        ("\x1b[2Jclear", "unprintable"),
        (".llm-manifest.json", "keeps for itself"),
        (".llm-fetch/x.part", "keeps for itself"),
        ("x" * 256, "a name over 255"),
        ("ü" * 128, "a name over 255"),
        ("/".join(["x" * 200] * 6), "over 1024 bytes"),
        ("\ud800", "unprintable"),
    ],
)
def test_a_path_that_may_not_become_a_file_is_refused_and_said_why(path: str, problem: str) -> None:
    with pytest.raises(FetchError, match=problem) as caught:
        checked_path(path, what="s3://models/x")
    assert caught.value.reason == Reason.UNSAFE_PATH
    assert "s3://models/x" in caught.value.message


@pytest.mark.parametrize("path", ["config.json", "sub dir/ü+%.txt", ".gitattributes", "a..b", "...", "x" * 255, "sub/.llm-fetch"])
def test_an_ordinary_path_is_taken_as_it_is(path: str) -> None:
    assert checked_path(path, what="x") == path


@given(st.text(alphabet=st.sampled_from("ab./\\ \n\0ü"), max_size=12))
def test_whatever_is_accepted_stays_below_the_directory(path: str) -> None:
    try:
        checked_path(path, what="x")
    except FetchError:
        return
    joined = PurePosixPath("/model") / path
    assert joined.is_relative_to("/model")
    assert joined != PurePosixPath("/model")
    assert ".." not in joined.parts
    assert str(joined) == f"/model/{path}"


def test_a_name_cannot_be_a_file_and_a_directory() -> None:
    with pytest.raises(FetchError, match="both 'a/b' and 'a/b/c/d'"):
        check_together(["a/b/c/d", "x", "a/b"], what="s3://models/x")


def test_names_that_only_begin_alike_do_not_collide() -> None:
    check_together(["a/b", "a/bc", "a.b", "ab/c"], what="x")
