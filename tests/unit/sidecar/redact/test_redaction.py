"""However a text is cut, the same comes out as of the whole, and never any of what is looked for."""

from collections.abc import Callable

import pytest
import re2
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from llm_sidecar.redact.entities import ENTITIES
from llm_sidecar.redact.finder import Finder, Match, Wanted
from llm_sidecar.redact.pattern import PatternError, any_of, literal, parse
from llm_sidecar.redact.redaction import Redaction
from llm_sidecar.stages import BlockedError
from tests.unit.sidecar.redact.cases import SECRETS, cut_texts, texts, thorough
from tests.unit.sidecar.redact.test_pattern import patterns

BUILT_IN = [wanted for several in ENTITIES.values() for wanted in several]
OWN = [
    Wanted("ticket", parse(r"\bACME-\d{1,8}\b")),
    Wanted("name", parse(r"(?i:jane|john(?:ny)?) {1,3}d[ou]e\b")),
    Wanted("run", parse(r"a{3,40}")),
    Wanted("smile", parse(r"😀{1,3}")),
    Wanted("marked", parse(r"\pL\pM")),
    Wanted("secret", any_of([literal("fox"), literal("foxtrot"), literal("ß日本")]), ignore_case=True),
]
BUILT_IN_FINDER, OWN_FINDER, BOTH_FINDER = Finder(BUILT_IN), Finder(OWN), Finder([*OWN, *BUILT_IN])
_OWN_PIECES = ("ACME-", "12", "JANE  ", "johnny", " doe", "Due", "aa", "a", "😀", "e\u0301", "fox", "TROT", "ß", "日", "本", " ", "x", "_")
own_texts = st.lists(st.sampled_from(_OWN_PIECES), max_size=10).map("".join)
mixed_texts = st.lists(st.one_of(texts, own_texts), max_size=3).map("".join)

_HARD_PIECES = ("x", " ", "123-45-6789", "john@example.com", ".uk", "4111 ", " 1119", "a" * 20, "4111 1111 1111 1112")
hard_texts = st.lists(st.sampled_from(_HARD_PIECES), min_size=1, max_size=4).map("".join)

Begin = Callable[[], Redaction]


def begin(finder: Finder) -> Begin:
    return lambda: Redaction(finder, "Redact")


def in_pieces(redaction: Redaction, pieces: list[str]) -> str:
    return "".join([redaction.feed(piece) for piece in pieces]) + redaction.finish()


def is_invariant(whole: Begin, piecewise: Begin, pieces: list[str]) -> bool:
    """Return whether a text in pieces comes out as the whole does, without a moment in which more of it was out."""
    at_once, redaction = whole(), piecewise()
    expected = at_once.whole("".join(pieces))
    out = ""
    for piece in pieces:
        out += redaction.feed(piece)
        if not expected.startswith(out):
            return False
    return out + redaction.finish() == expected and redaction.found == at_once.found


def place_by_place(wanted: list[Wanted], text: str) -> str:
    """Try every pattern at every place, the slow and obvious way."""
    data, out, at = text.encode(), b"", 0
    patterns = [(each, re2.compile(f"(?i:{each.pattern.source})" if each.ignore_case else each.pattern.source)) for each in wanted]
    while at < len(text.encode()):
        for each, pattern in patterns:
            match = pattern.match(data, at)
            length = match.end() - at if match is not None else 0
            if match is not None and each.check is not None:
                length = each.check(match.group().decode())  # what is checked is ASCII
            if length:
                out, at = out + f"<{each.name}>".encode(), at + length
                break
        else:
            out, at = out + data[at : at + 1], at + 1
    return out.decode()


@thorough
@given(mixed_texts)
def test_a_whole_text_is_what_trying_every_place_gives(text: str) -> None:
    wanted = [*OWN, *BUILT_IN]
    assert Redaction(BOTH_FINDER, "Redact").whole(text) == place_by_place(wanted, text)


@thorough
@given(cut_texts())
def test_personal_data_in_pieces(pieces: list[str]) -> None:
    assert is_invariant(begin(BUILT_IN_FINDER), begin(BUILT_IN_FINDER), pieces)


@thorough
@given(cut_texts(own_texts))
def test_own_patterns_in_pieces(pieces: list[str]) -> None:
    assert is_invariant(begin(OWN_FINDER), begin(OWN_FINDER), pieces)


@thorough
@given(cut_texts(mixed_texts))
def test_both_in_pieces(pieces: list[str]) -> None:
    assert is_invariant(begin(BOTH_FINDER), begin(BOTH_FINDER), pieces)


@thorough
@given(st.lists(patterns(), min_size=1, max_size=3), st.lists(st.text("ab- ", max_size=3), max_size=8), st.booleans())
def test_any_patterns_in_pieces(sources: list[str], pieces: list[str], at_words: bool) -> None:
    wanted: list[Wanted] = []
    for source in sources:
        try:
            wanted.append(Wanted(f"p{len(wanted)}", parse(rf"\b(?:{source})\b" if at_words else source)))
        except PatternError:
            continue  # it also matches nothing at all
    if wanted:
        finder = Finder(wanted)
        assert is_invariant(begin(finder), begin(finder), pieces)


@thorough
@given(st.lists(st.sampled_from(SECRETS), min_size=1, max_size=4), st.data())
def test_nothing_that_is_looked_for_comes_out(secrets: list[str], data: st.DataObject) -> None:
    around = st.sampled_from([" and ", "; ", " 😀 ", "\n", " 日本 "])
    text = "".join(data.draw(around) + secret + data.draw(around) for secret in secrets)
    pieces = data.draw(cut_texts(st.just(text)))
    out = in_pieces(Redaction(BUILT_IN_FINDER, "Redact"), pieces)
    assert not any(secret in out for secret in secrets)
    assert Redaction(BUILT_IN_FINDER, "Redact").whole(out) == out


@thorough
@given(cut_texts(mixed_texts))
def test_a_text_that_is_blocked_ends_before_what_it_is_blocked_for(pieces: list[str]) -> None:
    text = "".join(pieces)
    first = BOTH_FINDER.first(text.encode(), 0, len(text.encode()))
    out, blocked = "", None
    redaction = Redaction(BOTH_FINDER, "Block")
    try:
        for piece in pieces:
            out += redaction.feed(piece)
        out += redaction.finish()
    except BlockedError as error:
        blocked = error.block
    if first is None:
        assert (out, blocked) == (text, None)
    else:
        assert redaction.found == {first.name}
        assert blocked is not None
        assert text.encode()[: first.start].decode().startswith(out)


@thorough
@given(cut_texts(mixed_texts))
def test_a_text_that_is_tagged_passes_at_once(pieces: list[str]) -> None:
    whole, redaction = Redaction(BOTH_FINDER, "Redact"), Redaction(BOTH_FINDER, "Tag")
    for piece in pieces:
        assert redaction.feed(piece) == piece
        assert redaction.held == ""
    assert redaction.finish() == ""
    whole.whole("".join(pieces))
    assert redaction.found == whole.found


@thorough
@given(cut_texts(mixed_texts))
def test_what_is_kept_back_is_known_and_bounded(pieces: list[str]) -> None:
    redaction = Redaction(BOTH_FINDER, "Redact")
    fed = ""
    for piece in pieces:
        fed += piece
        redaction.feed(piece)
        assert fed.endswith(redaction.held)
        assert len(redaction.held) <= BOTH_FINDER.longest


@pytest.mark.parametrize(
    ("pieces", "out"),
    [
        (["write to john@example.com", ".uk now"], "write to <email> now"),  # complete, and could still grow
        (["4111 123-45-6789", " 1119"], "<card>"),  # complete, inside something that began before and is not
        (["x", "123-45-6789 "], "x123-45-6789 "),  # a word's end that is none
        (["日本", "123-45-6789 "], "日本<ssn> "),
        (["123-45-6789", "0 "], "123-45-67890 "),
        (["4111 1111 1111 1112", " "], "4111 1111 1111 1112 "),
        (["e", "\u0301@example.c", "om"], "e\u0301@example.com"),
    ],
)
def test_what_simpler_ways_get_wrong(pieces: list[str], out: str) -> None:
    assert in_pieces(Redaction(BUILT_IN_FINDER, "Redact"), pieces) == out
    assert Redaction(BUILT_IN_FINDER, "Redact").whole("".join(pieces)) == out


class TakesWhatIsComplete(Redaction):
    """One search: a complete match anywhere is taken, and only without one the beginning of one waits."""

    __slots__ = ()

    def _settled(self, text: bytes, at: int) -> int:
        match = self._finder.first(text, at, len(text))
        return match.end if match is not None else self._finder.settled(text, at)


class DoesNotLetGrow(Redaction):
    """A match that ends where the text does is taken as it is."""

    __slots__ = ()

    def _settled(self, text: bytes, at: int) -> int:
        settled = self._finder.settled(text, at)
        match = self._finder.first(text, settled, settled + 1)
        return settled if match is None or match.end < len(text) else len(text)


class PrefersTheLaterMatch(Redaction):
    """A match that can grow no more is taken though something that began before it has not ended."""

    __slots__ = ()

    def _settled(self, text: bytes, at: int) -> int:
        settled = self._finder.settled(text, at)
        match = self._finder.first(text, settled, len(text))
        return settled if match is None or match.end == len(text) else match.end


class ForgetsWhatWasBefore(Redaction):
    """No left context."""

    __slots__ = ()

    def feed(self, text: str) -> str:
        out = super().feed(text)
        self._kept, self._context = self._kept[self._context :], 0
        return out


class LosesPatience(Redaction):
    """Lets go of what waits longer than some characters."""

    __slots__ = ()

    def _settled(self, text: bytes, at: int) -> int:
        return max(self._finder.settled(text, at), len(text) - 12)


class BelievesEveryPattern(Finder):
    """Checks a match only where the text goes on behind it."""

    __slots__ = ()

    def first(self, text: bytes, start: int, stop: int) -> Match | None:
        first, last = self._any(text, start)
        if 0 <= first < stop and last == len(text):
            return Match(first, last, "any")
        return super().first(text, start, stop)


NUMBER_FINDER = Finder(ENTITIES["ssn"])


@pytest.mark.component
@pytest.mark.parametrize(
    ("simpler", "finder"),
    [
        (lambda: TakesWhatIsComplete(BUILT_IN_FINDER, "Redact"), BUILT_IN_FINDER),
        (lambda: DoesNotLetGrow(BUILT_IN_FINDER, "Redact"), BUILT_IN_FINDER),
        (lambda: PrefersTheLaterMatch(BUILT_IN_FINDER, "Redact"), BUILT_IN_FINDER),
        (lambda: ForgetsWhatWasBefore(NUMBER_FINDER, "Redact"), NUMBER_FINDER),
        (lambda: LosesPatience(BUILT_IN_FINDER, "Redact"), BUILT_IN_FINDER),
        (lambda: Redaction(BelievesEveryPattern(BUILT_IN), "Redact"), BUILT_IN_FINDER),
    ],
    ids=["one search", "does not let grow", "prefers the later match", "forgets what was before", "loses patience", "does not check"],
)
def test_simpler_ways_are_found_out_by_the_same_property(simpler: Begin, finder: Finder) -> None:
    pieces = find(
        cut_texts(hard_texts),
        lambda pieces: not is_invariant(begin(finder), simpler, pieces),
        settings=settings(max_examples=5_000, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None),
    )
    assert is_invariant(begin(finder), begin(finder), pieces)
