"""A stream that passes as it is, and can be ended with an error at any point."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar.errors import Refusal
from llm_sidecar.stream import scanner
from llm_sidecar.stream.passing import Events, WholeLines
from llm_sidecar.stream.scanner import EventTooLargeError

REFUSAL = Refusal(502, "engine_broken", "gone")


@given(st.sampled_from([(Events, b"\n\n"), (WholeLines, b"\n")]), st.lists(st.binary(max_size=20)), st.integers(0, 10))
def test_every_byte_passes_and_only_whole_pieces_before_the_end(
    kind: tuple[type[Events] | type[WholeLines], bytes], pieces: list[bytes], more: int
) -> None:
    make, end = kind
    stream = make()
    pieces += [end] * more
    out = [stream.feed(piece) for piece in pieces]
    assert all(not each or each.endswith((end, b"\n\r\n")) for each in out)
    assert b"".join([*out, stream.finish()]) == b"".join(pieces)


@pytest.mark.parametrize("make", [Events, WholeLines])
def test_a_piece_that_never_ends_is_refused(make: type[Events] | type[WholeLines], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "MAX_EVENT", 100)
    stream = make()
    stream.feed(b"x" * 90)
    with pytest.raises(EventTooLargeError):
        stream.feed(b"x" * 20)


@pytest.mark.parametrize(("stream", "end"), [(Events(), b"\n\ndata: [DONE]\n\n"), (WholeLines(), b"}\n")])
def test_half_a_piece_is_dropped_when_the_stream_fails(stream: Events | WholeLines, end: bytes) -> None:
    assert stream.feed(b"half") == b""
    assert stream.fail(REFUSAL).endswith(end)
    assert b"engine_broken" in stream.fail(REFUSAL)
