"""Who is reached, as the operator reads it. Pods are real, engines scripted."""

import socket

import pytest

from llm_sidecar.hop import reach
from tests.unit.sidecar.support.fleet import Fleet
from tests.unit.sidecar.support.pod import route


async def test_an_engine_is_reached_while_a_pod_of_it_takes_requests(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "FRESH_S", 0.5)
    await fleet.start("e1", "e2")
    fleet.publish("r1", route("r2", "e2", 0), route("r3", "e3", 0))
    await fleet.until_ready()
    assert (await fleet["e1"].until(lambda status: bool(status["reaches"])))["reaches"] == ["e2"]
    assert (await fleet["e2"].until(lambda status: bool(status["reaches"])))["reaches"] == ["e1"]
    await fleet["e2"].engine.stop()
    await fleet["e1"].until(lambda status: status["reaches"] == [])
    await fleet["e2"].engine.start()
    await fleet["e1"].until(lambda status: status["reaches"] == ["e2"])
    fleet.publish("r1")
    await fleet["e1"].until(lambda status: status["reaches"] == [])


async def test_an_address_that_swallows_everything_does_not_hide_the_others(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "_TIMEOUT_S", 0.2)
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections and never says a word
    try:
        await fleet.start("e1", "e2")
        monkeypatch.setattr(fleet, "_service", lambda engine, _: {"e2": fleet["e2"].port}.get(engine, silent.getsockname()[1]))
        fleet.publish("r1", route("r2", "e2", 0), route("r3", "e3", 0))
        await fleet["e1"].until(lambda status: status["reaches"] == ["e2"])
    finally:
        silent.close()
