"""A burst of bodies that would take more memory than the container has, and what the sidecar takes of it as a process of its own."""

import asyncio
import re
from pathlib import Path

from llm_sidecar.bundle import Bundle, Limits, Prompt
from tests.unit.sidecar.support.client import ask, connect, get, post
from tests.unit.sidecar.support.engine import Engine, Request, completion, http
from tests.unit.sidecar.support.pod import SnapshotDir, environment
from tests.unit.sidecar.support.process import started

MIB = 1 << 20
MEMORY_BYTES = 256 * MIB
BODIES, BODY = 320, post("/v1/completions", {"prompt": "x" * (MIB - 100)})


def peak_bytes(pid: int) -> int:
    return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0])


async def test_a_burst_of_more_than_all_the_memory_leaves_the_half_of_it_that_is_for_others(engine: Engine, tmp_path: Path) -> None:
    prompt = Prompt(template="Q: {{ prompt }}")
    bundle = Bundle(prompt=prompt, limits=Limits(max_body_bytes=MIB))
    SnapshotDir(tmp_path).write(1, "r1", bundle)
    gate = asyncio.Event()

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.write(http(completion()))

    engine.script = script
    variables = environment(engine.port, tmp_path, LLM_MEMORY_BYTES=str(MEMORY_BYTES))
    async with started("llm_sidecar", environment=variables, path="images/sidecar") as sidecar:
        await sidecar.until_listening()
        async with asyncio.timeout(20):
            while (await ask(sidecar.admin, get("/readyz"))).status != 200:  # noqa: ASYNC110  # it is another process
                await asyncio.sleep(0.05)
        statuses: list[int] = []

        async def send() -> None:
            async with connect(sidecar.public) as client:
                client.send(BODY)
                statuses.append((await client.answer()).status)

        sending = [asyncio.create_task(send()) for _ in range(BODIES)]
        await asyncio.sleep(1)  # whoever is not refused is at the engine or on its way there
        gate.set()
        await asyncio.gather(*sending)
        assert set(statuses) == {200, 429}
        assert BODIES * MIB > MEMORY_BYTES
        assert peak_bytes(sidecar.process.pid) < MEMORY_BYTES // 2
