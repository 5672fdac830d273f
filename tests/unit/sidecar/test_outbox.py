"""Writes of one turn of the loop are sent together at its end."""

import asyncio

from llm_sidecar.outbox import ALONE, AT_ONCE, DIRECT, Outbox


async def test_what_waits_is_sent_at_the_end_of_the_turn_in_its_order() -> None:
    sent: list[int] = []
    outbox = Outbox.of(asyncio.get_running_loop())
    for number in range(3):
        outbox.add(lambda number=number: sent.append(number))  # type: ignore[misc]  # the number is bound
    assert not sent
    await asyncio.sleep(0)
    assert sent == [0, 1, 2]


async def test_a_long_turn_does_not_keep_many_waiting() -> None:
    sent: list[int] = []
    outbox = Outbox.of(asyncio.get_running_loop())
    for number in range(AT_ONCE):
        outbox.add(lambda number=number: sent.append(number))  # type: ignore[misc]  # the number is bound
    assert sent == list(range(AT_ONCE))


async def test_what_is_added_while_others_are_sent_is_sent_too() -> None:
    sent: list[str] = []
    outbox = Outbox.of(asyncio.get_running_loop())

    def first() -> None:
        sent.append("first")
        outbox.add(lambda: sent.append("second"))

    outbox.add(first)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sent == ["first", "second"]


async def test_who_is_alone_does_not_wait_until_others_come() -> None:
    sent: list[int] = []
    outbox = Outbox.of(asyncio.get_running_loop())
    for turn in range(ALONE):
        outbox.add(lambda turn=turn: sent.append(turn))  # type: ignore[misc]  # the number is bound
        assert len(sent) == turn
        await asyncio.sleep(0)
    for number in range(ALONE, ALONE + DIRECT):
        outbox.add(lambda number=number: sent.append(number))  # type: ignore[misc]  # the number is bound
        assert sent[-1] == number
    for _ in range(3):
        outbox.add(lambda: sent.append(-1))
    assert -1 not in sent
    await asyncio.sleep(0)
    assert sent[-3:] == [-1, -1, -1]
    assert sent[:-3] == list(range(ALONE + DIRECT))


async def test_a_loop_has_one_outbox() -> None:
    loop = asyncio.get_running_loop()
    assert Outbox.of(loop) is Outbox.of(loop)
