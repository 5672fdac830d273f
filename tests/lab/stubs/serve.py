"""One process that is the sidecar of every simulated pod: the lab routes their addresses to whoever listens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from llm_operator.core import kinds, names
from tests.lab.following import Following, connect, followed
from tests.lab.state import State
from tests.lab.stubs.sidecars import Sidecars

_MANAGED = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY},{names.LABEL_DEPLOYMENT}"


@asynccontextmanager
async def stubs(state: State) -> AsyncIterator[Sidecars]:
    """Answer for all simulated pods while the context lasts; it begins once all that is there is known."""
    sidecars = Sidecars()
    async with connect(state) as client:
        pods = Following(client, kinds.POD.path(None), sidecars.heard_pod, _MANAGED)
        snapshots = Following(client, kinds.CONFIG_MAP.path(None), sidecars.heard_config_map, _MANAGED)
        async with followed(pods, snapshots):
            runner = web.AppRunner(_app(sidecars), access_log=None)
            await runner.setup()
            for port in (names.ADMIN_PORT, names.PUBLIC_PORT):
                await web.TCPSite(runner, "0.0.0.0", port).start()
            try:
                yield sidecars
            finally:
                await runner.cleanup()


def _app(sidecars: Sidecars) -> web.Application:
    async def status(request: web.Request) -> web.Response:
        answer = sidecars.status(_reached_at(request))
        return web.Response(status=503) if answer is None else web.json_response(answer)

    async def there(request: web.Request) -> web.Response:
        pod = sidecars.pod_at(_reached_at(request))
        return web.Response(status=503 if pod is None or "deletionTimestamp" in pod["metadata"] else 204)

    async def drained(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.add_routes([web.get("/status", status), web.get("/drain", drained)])
    app.add_routes([web.get(path, there) for path in ("/-/hop", "/readyz", "/livez", "/startupz")])
    return app


def _reached_at(request: web.Request) -> str:
    """Return the pod's address a connection was made to: it tells which pod is asked."""
    address = request.transport.get_extra_info("sockname") if request.transport else None
    return str(address[0]) if address else ""
