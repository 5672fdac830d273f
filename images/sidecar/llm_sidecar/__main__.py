"""``python3 -m llm_sidecar``: no arguments, everything comes from the environment and the snapshot."""

import asyncio
import logging
import os
import signal
import sys

import uvloop

from llm_sidecar import settings
from llm_sidecar.app import Sidecar

_CANNOT_START = 2


async def _run(environment: settings.Settings) -> None:
    sidecar = Sidecar(environment)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, sidecar.leave)
    public, admin = sidecar.ports
    logging.getLogger("llm_sidecar").info("listening public=%d admin=%d engine=%s", public, admin, environment.engine or "none")
    await sidecar.run()


def main() -> int:
    """Run the sidecar until it is told to leave; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # what clients send wrong is counted, not logged
    try:
        environment = settings.read(os.environ)
    except settings.SettingsError as error:
        logging.getLogger("llm_sidecar").error("cannot start: %s", error)  # noqa: TRY400  # a wrong setting needs no traceback
        return _CANNOT_START
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(environment))
    return 0


if __name__ == "__main__":
    sys.exit(main())
