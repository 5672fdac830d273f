import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab import probe

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@given(st.lists(LABEL, min_size=1, max_size=6))
def test_a_question_spells_the_name_label_by_label(labels: list[str]) -> None:
    message = probe.query(".".join(labels))
    rest, spelled = message[12:], []
    while rest[0]:
        spelled.append(rest[1 : 1 + rest[0]].decode())
        rest = rest[1 + rest[0] :]
    assert spelled == labels
    assert rest == b"\0\0\1\0\1"


@pytest.mark.parametrize(("flags", "answers", "yes"), [(0x8180, 1, True), (0x8183, 0, False), (0x8182, 1, False), (0x8180, 0, False)])
def test_only_an_answer_without_an_error_code_is_a_yes(flags: int, answers: int, yes: bool) -> None:
    assert probe.has_answer(struct.pack("!6H", 1, flags, 1, answers, 0, 0)) is yes


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_listens_is_told_from_one_that_does_not(listener: int) -> None:
    assert probe.tcp("127.0.0.1", listener)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            probe.tcp("127.0.0.1", free.getsockname()[1])


def test_http_reads_the_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1000)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

        thread = threading.Thread(target=answer)
        thread.start()
        assert probe.http(f"http://127.0.0.1:{server.getsockname()[1]}/")
        thread.join()
