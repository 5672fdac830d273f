"""Personal data in whole texts, and what a spec of the stage may say."""

import pytest

from llm_sidecar.bundle import BundleError, Pattern, PiiStage
from llm_sidecar.stages import ALLOW, Allow, Block, Modify, pii

TEXT = "jane@example.com, ACME-1, 192.0.2.1"


def test_what_is_found_is_replaced_by_its_name() -> None:
    stage = pii.compile(PiiStage(entities=("email", "ip"), patterns=(Pattern(name="ticket", re2=r"ACME-\d{1,5}"),)), "f")
    assert stage.judge(TEXT) == Modify("<email>, <ticket>, <ip>", ("email", "ip", "ticket"))
    assert stage.judge("nothing") is ALLOW
    assert stage.hides


def test_only_what_was_asked_for_is_found() -> None:
    assert pii.compile(PiiStage(entities=("ip",)), "f").judge(TEXT) == Modify("jane@example.com, ACME-1, <ip>", ("ip",))


def test_a_blocked_text_is_named_by_what_was_found_and_not_shown() -> None:
    verdict = pii.compile(PiiStage(entities=("email",), action="Block"), "f").judge(TEXT)
    assert isinstance(verdict, Block)
    assert "email" in verdict.reason
    assert "jane" not in verdict.reason


def test_a_tagged_text_stays() -> None:
    stage = pii.compile(PiiStage(entities=("email",), action="Tag"), "f")
    assert stage.judge(TEXT) == Allow(("email",))
    assert not stage.hides


@pytest.mark.parametrize(
    ("spec", "field", "reason"),
    [
        (PiiStage(), "f", "nothing to find"),
        (PiiStage(patterns=(Pattern(name="a", re2="("),)), "f.patterns[0].re2", "never closed"),
        (PiiStage(patterns=(Pattern(name="a", re2="b"), Pattern(name="c", re2=r"[z-a]"))), "f.patterns[1].re2", "invalid"),
        (PiiStage(patterns=(Pattern(name="a", re2=".+"),)), "f.patterns[0].re2", "no end"),
        (PiiStage(patterns=(Pattern(name="A!", re2="b"),)), "f.patterns[0].name", "small letters"),
        (PiiStage(patterns=(Pattern(name="email", re2="b"),)), "f.patterns[0].name", "built-in"),
        (PiiStage(patterns=(Pattern(name="a", re2=r"(?:\pL{1,20}[^\pL]{1,20}){12}"),)), "f.patterns[0].re2", "too large"),
        (PiiStage(patterns=tuple(Pattern(name="a", re2="b") for _ in range(65))), "f.patterns", "at most 64"),
        (PiiStage(patterns=(Pattern(name="a", re2=r"[a-z]{1,40}-[a-z]{1,40}"),) * 64), "f", "too much"),
    ],
)
def test_what_cannot_be_used_is_named(spec: PiiStage, field: str, reason: str) -> None:
    with pytest.raises(BundleError, match=reason) as error:
        pii.compile(spec, "f")
    assert error.value.field == field
