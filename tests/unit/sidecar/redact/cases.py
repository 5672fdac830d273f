"""Texts full of what is looked for, of what nearly is, and of what surrounds it; and ways to cut them."""

import itertools
import os
from collections.abc import Iterator

from hypothesis import settings
from hypothesis import strategies as st

from tests.properties import TIMES

_IN_THE_SUITE = 30

CASES = int(os.environ.get("REDACTOR_CASES", _IN_THE_SUITE * TIMES))
"""Texts each property is tried on; many more, and new ones, in the soak."""

drawn = 0
"""Texts that were cut in this run."""

thorough = settings(max_examples=CASES, derandomize=CASES == _IN_THE_SUITE)

SECRETS = (
    *("john@example.com", "john@example.com.uk", "x@a.a.a.a.de", "o'neil.b@xn--bcher-kva.example", "é.ü@exämple.fr"),
    *("123-45-6789", "123 45 6789", "4111 1111 1111 1111", "4111111111111111", "3782-822463-10005", "4222222222222"),
    *("DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "NO93 8601 1117 947"),
    *("192.0.2.1", "10.0.0.255", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1:2"),
    *("+49 (0)30 1234567", "+15551234567", "(555) 123-4567", "555-123-4567", "06 12 34 56 78", "(030) 123456"),
)
_NEARLY = (
    *("john@example", "@example.com", "john@.com", "x@a.a.a.", "a@b", "41 ", "4111 1111 1111 1112", "000-12-3456", "123-45-", "9999"),
    *("DE89 3704", "XX12 3456 7890 1234", "256.1.1.1", "1.2.3", "12:30:45", "::", "a::b", "+1 555", "(555)", "01.02.2026 12:30"),
)
_AROUND = (
    *(
        " ",
        "\n",
        ", ",
        ". ",
        "x",
        "_",
        "-",
        ".",
        ":",
        "@",
        "<",
        "0",
        "1",
        "uk",
        " 1111",
        "word ",
        "The quick brown fox",
        "a" * 70,
        "1" * 25,
    ),
    *("日本", "é", "e\u0301", "\ufb01", "😀", "👩\u200d👧", "\u200b", "\uffff", "\ufffd", "\u0000"),
)
_pieces = st.one_of(st.sampled_from(SECRETS), st.sampled_from(_NEARLY), st.sampled_from(_AROUND), st.text(max_size=3))
texts = st.lists(_pieces, max_size=8).map("".join)


def cuts(text: str) -> st.SearchStrategy[list[str]]:
    """Return ways to cut a text into pieces, empty ones among them."""
    return st.lists(st.integers(0, len(text)), max_size=12).map(lambda places: list(_between(text, sorted(places))))


@st.composite
def cut_texts(draw: st.DrawFn, source: st.SearchStrategy[str] = texts) -> list[str]:
    """Return a text in pieces."""
    global drawn  # noqa: PLW0603  # one run, one count
    drawn += 1
    text = draw(source)
    if draw(st.booleans()):
        return list(text)
    return draw(cuts(text))


def _between(text: str, places: list[int]) -> Iterator[str]:
    for start, end in itertools.pairwise([0, *places, len(text)]):
        yield text[start:end]
