"""New tables under load: what began keeps its revision, on its own engine and over a hop. Engines are scripted."""

import asyncio

from llm_sidecar.bundle import Bundle, Prompt
from tests.unit.sidecar.support.client import Answer, connect, post
from tests.unit.sidecar.support.engine import STREAM_HEAD, Request, chunk, text_events
from tests.unit.sidecar.support.eventually import eventually
from tests.unit.sidecar.support.fleet import Fleet
from tests.unit.sidecar.support.pod import route

STREAMS = 50


async def test_fifty_streams_keep_their_revision_through_a_swap(fleet: Fleet) -> None:
    await fleet.start("e1", "e2")
    half = route("r2", "e2", 5000, slot=0)
    old = {"r1": Bundle(prompt=Prompt(system="old")), "r2": Bundle(prompt=Prompt(system="old"))}
    fleet.publish("r1", half, bundles=old, peers=["e1", "e2"])
    await fleet.until_ready()
    go = asyncio.Event()

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(text_events("a")[0]))
        await go.wait()
        writer.write(b"".join(map(chunk, text_events("b"))) + b"0\r\n\r\n")

    for pod in fleet.pods.values():
        pod.engine.script = script
    streams = [asyncio.create_task(_stream(fleet["e1"].port)) for _ in range(STREAMS)]
    await eventually(lambda: sum(len(pod.engine.requests) for pod in fleet.pods.values()) == STREAMS, "all streams")
    began = {name: len(pod.engine.requests) for name, pod in fleet.pods.items()}
    assert min(began.values()) > 5
    fleet.publish("r1new", route("r2new", "e2", 5000, slot=0), peers=["e1", "e2"])
    for pod in fleet.pods.values():
        await pod.until(lambda status: status["generation"] == 2)
    fresh = asyncio.create_task(_stream(fleet["e1"].port))
    await eventually(lambda: sum(len(pod.engine.requests) for pod in fleet.pods.values()) == STREAMS + 1, "one more")
    go.set()
    answers = await asyncio.gather(*streams)
    assert {answer.headers["x-llm-revision"] for answer in answers} == {"r1", "r2"}
    assert sum(answer.headers["x-llm-revision"] == "r2" for answer in answers) == began["e2"]
    assert all(answer.complete and answer.body.endswith(b"data: [DONE]\n\n") and b"error" not in answer.body for answer in answers)
    assert (await fresh).headers["x-llm-revision"] in {"r1new", "r2new"}
    sent = [request.json["messages"] for pod in fleet.pods.values() for request in pod.engine.requests]
    assert sum(messages[0]["content"] == "old" for messages in sent) == STREAMS


async def _stream(port: int) -> Answer:
    async with connect(port) as client:
        client.send(post("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "stream": True}))
        return await client.answer()


async def test_a_pod_with_an_old_table_serves_what_it_knows_and_is_fallen_back_from(fleet: Fleet) -> None:
    await fleet.start("e1", "e2")
    fleet.publish("r1", route("r2", "e2", 10_000, slot=0), peers=["e1", "e2"])
    await fleet.until_ready()
    # e2 is frozen: its kubelet does not bring the new table.
    fleet.publish("r1new", route("r2new", "e2", 10_000, slot=0), peers=["e1", "e2"], to=["e1"])
    await fleet["e1"].until(lambda status: status["generation"] == 2)
    ask = {"messages": [{"role": "user", "content": "hi"}]}
    assert (await fleet["e1"].post("/v1/chat/completions", ask)).headers["x-llm-revision"] == "r1new"
    assert (await fleet["e2"].post("/v1/chat/completions", ask)).headers["x-llm-revision"] == "r2"
