"""What is personal data and what only looks like it."""

import pytest

from llm_sidecar.redact.entities import ENTITIES, card, iban
from llm_sidecar.redact.finder import Finder
from llm_sidecar.redact.redaction import Redaction

ALL = Finder([wanted for several in ENTITIES.values() for wanted in several])


def redacted(text: str) -> str:
    return Redaction(ALL, "Redact").whole(text)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("mail john.doe+x@mail.example.co.uk.", "mail <email>."),
        ("邮箱john@example.com吧", "邮箱<email>吧"),
        ("jürgen@exämple.de", "<email>"),
        ("o'neil@example.com_x", "<email>_x"),
        ("a@b.xn--p1ai", "<email>"),
        ("x" * 70 + "@example.com", "xxxxxx<email>"),
        ("DE89 3704 0044 0532 0130 00 is mine", "<iban> is mine"),
        ("gb82-WEST-1234-5698-7654-32", "<iban>"),
        ("NO9386011117947", "<iban>"),
        ("4111 1111 1111 1111", "<card>"),
        ("3782-822463-10005,", "<card>,"),
        ("4222222222222", "<card>"),
        ("6304000000000000000", "<card>"),
        ("4111 1111 1111 1111 12", "<card> 12"),
        ("123-45-6789", "<ssn>"),
        ("ssn:123 45 6789;", "ssn:<ssn>;"),
        ("日本123-45-6789", "日本<ssn>"),
        ("192.0.2.1:80", "<ip>:80"),
        ("[2001:db8::1]:443", "[<ip>]:443"),
        ("2001:db8::1: gone", "<ip>: gone"),
        ("::ffff:192.0.2.1", "<ip>"),
        ("fe80::1%eth0", "<ip>%eth0"),
        ("+4915112345678", "<phone>"),
        ("+49 (0)30 1234567", "<phone>"),
        ("0049 30 1234567", "<phone>"),
        ("+1-555-123-4567 ext", "<phone> ext"),
        ("(555) 123-4567", "<phone>"),
        ("1-555-123-4567", "<phone>"),
        ("555.123.4567", "<phone>"),
        ("030/1234567", "<phone>"),
        ("(030) 123 45 67", "<phone>"),
        ("06 12 34 56 78", "<phone>"),
        ("020 7946 0958", "<phone>"),
        ("06.12.34.56.78", "<phone>"),
        ("0151 23456789 2026", "<phone> 2026"),
        ("089-123456, 0301234567", "<phone>, <phone>"),
    ],
)
def test_personal_data_is_taken_out(text: str, left: str) -> None:
    assert redacted(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",  # the last digit is wrong
        "GB82 WEST 1234 5698 7654 33",
        "XX82 WEST 1234 5698 7654 32",  # no such country
        "NO93860111179471",  # one too long
        "AB12 some words of a sentence",
        "000-12-3456",
        "666-12-3456",
        "900-12-3456",
        "123-00-4567",
        "123-45-0000",
        "123-45 6789",
        "x123-45-6789",
        "123-45-67890",
        "256.1.1.1",
        "v1.2.3.4",
        "12:30:45",
        "00:1b:44:11:3a:b7",
        "std::vector a::b ::1",
        "01.02.2026 12:30",
        "01-02-2026 12",
        "Boston, MA 02111-1307",
        "0123456789",
        "0.06 0.08 0.1 0.25 03.9799600",
        "2026-11-27 10:00",
        "10,000,000,000",
        "1700000000000000000",
        "john@localhost @example.com a@b",
        "+1 (555",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert redacted(text) == text


def test_what_is_taken_out_is_not_found_again() -> None:
    assert redacted(" ".join(f"<{name}>" for name in ENTITIES)) == " ".join(f"<{name}>" for name in ENTITIES)


def test_checks_take_no_more_than_is_meant() -> None:
    assert iban("DE89370400440532013000 is mine") == 22
    assert card("4111 1111 1111 1111 2222") == 19
    assert card("4111 1111 1111") == 0
