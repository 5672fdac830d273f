"""What runs share: a client, the observer, the stub sidecars, a node for the pods."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from llm_operator.core import kinds
from tests.lab.cluster import Lab
from tests.lab.faults.observer import observing
from tests.lab.faults.operators import OURS
from tests.lab.faults.runs import PREFIX, Surroundings
from tests.lab.following import Client, RefusedError, connect, session
from tests.lab.kwok import open_node
from tests.lab.served import served
from tests.lab.state import REPOSITORY
from tests.lab.stubs.serve import stubs

NODES = 2
_GOING_S = 60.0


@asynccontextmanager
async def surroundings(
    lab: Lab, folder: Path, kubeconfig: Path | None = None, program: tuple[str, ...] = OURS
) -> AsyncIterator[Surroundings]:
    """Yield what runs need, inside a control-plane lab. Operators act as the user of ``kubeconfig``."""
    lab.require_pod_addresses()
    lab.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={REPOSITORY / 'crds'}")
    served(lab.kubectl, *(f"{kind.plural}.{kind.group}" for kind in kinds.CUSTOM))
    async with (
        connect(lab.state) as client,
        session(lab.state) as passing,
        stubs(lab.state),
        observing(client, PREFIX) as observer,
    ):
        for number in range(NODES):
            try:
                await client.send("POST", "/api/v1/nodes", open_node(f"open-{number}"))
            except RefusedError as error:
                if "AlreadyExists" not in str(error):
                    raise
        try:
            yield Surroundings(client, passing, observer, kubeconfig or lab.kubeconfig, folder, program)
        finally:
            await _leave_nothing(client)


async def _leave_nothing(client: Client) -> None:
    """Wait for the runs' namespaces to go, then take the nodes away: pods of other tests must not land on them."""
    end = time.monotonic() + _GOING_S
    while time.monotonic() < end:
        listed = await client.json("/api/v1/namespaces")
        if not any(each["metadata"]["name"].startswith(PREFIX) for each in listed["items"]):
            break
        await asyncio.sleep(0.2)
    for number in range(NODES):
        await client.send("DELETE", f"/api/v1/nodes/open-{number}")
