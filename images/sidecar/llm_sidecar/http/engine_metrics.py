"""The engine's own figures, so that one scrape of the pod shows both sides."""

import asyncio

from llm_sidecar.engine.client import UpstreamClient, request_head
from llm_sidecar.engine.errors import EngineError

_MAX_BYTES = 8 * 1024 * 1024
_OK = 200


class EngineMetrics:
    """Fetches the engine's metrics; without them the sidecar's own are still served."""

    def __init__(self, client: UpstreamClient, timeout_s: float = 2.0) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._request = request_head("GET", "/metrics", (("accept", "text/plain"),), 0)

    async def fetch(self) -> bytes:
        """Return the figures as text, or nothing when the engine does not give any in time and size."""
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._client.send(self._request)
                try:
                    body = await connection.body(_MAX_BYTES)
                finally:
                    self._client.release(connection)
        except (EngineError, TimeoutError):
            return b""
        return body if connection.status == _OK and body.endswith(b"\n") else b""
