"""The operator's own HTTP server: health by progress, readiness, figures."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from llm_operator.shell.metrics import CONTENT_TYPE, Metrics
from llm_operator.shell.progress import Progress

PORT = 8081
PORT_VARIABLE = "LLM_OPERATOR_PORT"


def port_of(environ: Mapping[str, str]) -> int:
    """Return the port to serve on: on a host's own network, or beside another operator, 8081 may be taken."""
    given = environ.get(PORT_VARIABLE, "")
    return int(given) if given.isdecimal() else PORT


@asynccontextmanager
async def serve(
    progress: Progress, metrics: Metrics, clock: Callable[[], float], *, host: str = "0.0.0.0", port: int = PORT
) -> AsyncIterator[int]:
    """Serve /healthz, /readyz and /metrics while the context lasts; yields the port that was bound."""

    async def healthz(_: web.Request) -> web.Response:
        return _verdict(progress.stuck(clock()))

    async def readyz(_: web.Request) -> web.Response:
        return _verdict(progress.unready(clock()))

    async def figures(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", figures)])
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _verdict(problems: list[str]) -> web.Response:
    return web.Response(status=503 if problems else 200, text="\n".join(problems) or "ok")
