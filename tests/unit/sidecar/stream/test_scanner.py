"""Events come out whole, whatever way their bytes were cut."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar.stream import scanner
from llm_sidecar.stream.scanner import EventTooLargeError, Scanner, payload, split

_lines = st.text(alphabet='aé漢😀:{}" \\', max_size=12).map(str.encode)
_ends = st.sampled_from([b"\n\n", b"\r\n\r\n", b"\n\r\n"])
_event = st.tuples(_lines, _ends).map(lambda pair: b"data: " + pair[0] + pair[1])
_streams = st.lists(_event, max_size=8).map(b"".join)
_line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
_any_lines = st.lists(
    st.tuples(st.sampled_from([b"data: a", b"data:\xe6\xbc\xa2", b"data", b"event: e", b": comment", b"", b"", b"x"]), _line_ends).map(
        b"".join
    ),
    max_size=12,
).map(b"".join)


@st.composite
def cut(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """Return bytes, and the same bytes in pieces cut anywhere, in the middle of characters too."""
    data = draw(whole)
    places = sorted(draw(st.sets(st.integers(0, len(data)), max_size=12)))
    edges = [0, *places, len(data)]
    return data, [data[start:end] for start, end in itertools.pairwise(edges)]


@given(cut(st.tuples(_streams, _lines).map(b"".join)))
def test_any_cut_gives_the_same_events_and_loses_no_byte(pieces: tuple[bytes, list[bytes]]) -> None:
    whole, parts = pieces
    at_once, piecewise = Scanner(), Scanner()
    expected = at_once.feed(whole)
    ready = [piecewise.feed(part) for part in parts]
    assert b"".join(ready) == expected
    assert expected + at_once.rest == whole
    assert piecewise.rest == at_once.rest
    for part in ready:
        assert part == b"" or part.endswith((b"\n\n", b"\n\r\n"))


def spoken(data: bytes) -> tuple[list[bytes], bytes]:
    """Read a stream line by line as the standard says, the slow and obvious way: the data of each event, and what has not ended."""
    events, lines, at = [], [], 0
    while (end := re.compile(rb"\r\n|\n|\r(?!\Z)").search(data, at)) is not None:
        line, at = data[at : end.start()], end.end()
        if line:
            lines.append(line)
        else:
            events.append(b"\n".join(each[5:].removeprefix(b" ") for each in lines if each.startswith(b"data:")))
            lines = []
            data, at = data[at:], 0
    return events, data


@given(cut(st.one_of(_any_lines, st.lists(st.sampled_from([b"\r", b"\n", b"data:", b"x", b" "]), max_size=16).map(b"".join))))
def test_lines_may_end_in_all_three_ways(pieces: tuple[bytes, list[bytes]]) -> None:
    whole, parts = pieces
    piecewise = Scanner()
    events = [event for part in parts for event in split(piecewise.feed(part))]
    expected, rest = spoken(whole)
    assert [payload(event) for event in events] == expected
    assert piecewise.rest == rest


@given(_streams)
def test_splitting_whole_events_loses_nothing(data: bytes) -> None:
    events = split(data)
    assert b"".join(events) == data
    assert all(payload(event).decode() is not None for event in events)


@given(cut(st.binary(max_size=60)))
def test_any_bytes_at_all_are_survived(pieces: tuple[bytes, list[bytes]]) -> None:
    whole, parts = pieces
    piecewise = Scanner()
    ready = b"".join([piecewise.feed(part) for part in parts])
    assert ready + piecewise.rest == whole


@given(st.lists(_event, min_size=1, max_size=5))
def test_events_that_need_no_waiting_pass_as_the_same_object(events: list[bytes]) -> None:
    data = b"".join(events)
    assert Scanner().feed(data) is data


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: x\n\n", b"x"),
        (b"data:x\n\n", b"x"),
        (b"data: x\r\n\r\n", b"x"),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"event: e\nid: 1\ndata: x\n\n", b"x"),
        (b": keep-alive\n\n", b""),
        (b"\n\n", b""),
        (b"data: a\rdata: b\r\r", b"a\nb"),
        (b"data: a\r\ndata:  b\n\n", b"a\n b"),
        (b"dataset: x\n\n", b""),
    ],
)
def test_the_payload_is_the_data_alone(event: bytes, data: bytes) -> None:
    assert payload(event) == data


def test_an_event_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "MAX_EVENT", 100)
    endless = Scanner()
    endless.feed(b"data: " + b"x" * 90)
    with pytest.raises(EventTooLargeError):
        endless.feed(b"x" * 10)
