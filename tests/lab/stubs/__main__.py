"""Be the sidecars of all simulated pods until told to end: `python -m tests.lab exec -- .venv/bin/python -m tests.lab.stubs`."""

import asyncio
import signal
import sys

from tests.lab.cluster import Lab
from tests.lab.say import say
from tests.lab.stubs.serve import stubs


async def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    lab = Lab.current()
    lab.require_pod_addresses()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with stubs(lab.state):
        say("stubs ready")
        await stop.wait()
    return 0


sys.exit(asyncio.run(main()))
