"""What must not be said, in whole texts."""

import pytest

from llm_sidecar.bundle import BlocklistStage, BundleError, Pattern
from llm_sidecar.stages import ALLOW, Block, BlockedError, Modify, blocklist


def test_terms_are_found_as_they_are_written_in_capitals_or_not() -> None:
    stage = blocklist.compile(BlocklistStage(terms=("Project X.", "straße"), action="Redact"), "f")
    assert stage.judge("about PROJECT x. and STRASSE") == Modify("about <blocked> and STRASSE", ("blocked",))
    assert stage.judge("project x, STRAẞE") == Modify("project x, <blocked>", ("blocked",))
    assert stage.judge("project xy") is ALLOW


def test_the_longest_term_is_meant() -> None:
    stage = blocklist.compile(BlocklistStage(terms=("fox", "foxtrot"), action="Redact"), "f")
    assert stage.judge("foxes foxtrot") == Modify("<blocked>es <blocked>", ("blocked",))


def test_case_can_matter() -> None:
    spec = BlocklistStage(terms=("Apple",), patterns=(Pattern(name="key", re2=r"K-\d{4}"),), ignore_case=False, action="Redact")
    assert blocklist.compile(spec, "f").judge("apple Apple k-1234 K-1234") == Modify("apple <blocked> k-1234 <key>", ("blocked", "key"))


def test_a_blocked_term_is_not_repeated_in_the_reason() -> None:
    verdict = blocklist.compile(BlocklistStage(terms=("secret",)), "f").judge("a SECRET")
    assert isinstance(verdict, Block)
    assert "secret" not in verdict.reason.lower()


def test_of_a_blocked_stream_nothing_of_the_term_was_seen() -> None:
    stream = blocklist.compile(BlocklistStage(terms=("secret",)), "f").stream()
    assert stream.feed("a sec") == "a "
    assert stream.held == "sec"
    assert stream.feed("tor, sec") == "sector, "
    assert stream.feed("ret") == ""
    with pytest.raises(BlockedError):
        stream.finish()


def test_many_terms_are_found_and_too_many_refused() -> None:
    terms = tuple(f"{number:03} " * 6 for number in range(256))
    stage = blocklist.compile(BlocklistStage(terms=terms), "f")
    assert isinstance(stage.judge("x " + terms[255]), Block)
    assert stage.judge(terms[0][1:]) is ALLOW
    with pytest.raises(BundleError, match="too much to find"):
        blocklist.compile(BlocklistStage(terms=tuple(term * 5 for term in terms)), "f")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (BlocklistStage(), "f"),
        (BlocklistStage(terms=("a", "")), "f.terms[1]"),
        (BlocklistStage(patterns=(Pattern(name="a", re2="a*"),)), "f.patterns[0].re2"),
    ],
)
def test_what_cannot_be_used_is_named(spec: BlocklistStage, field: str) -> None:
    with pytest.raises(BundleError) as error:
        blocklist.compile(spec, "f")
    assert error.value.field == field
