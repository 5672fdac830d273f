"""A revision without a server: a request on its way to an engine and an answer on its way back, as a sidecar does it, without a socket.

It is what the command line has of the sidecar's request code. Keys, queues and deadlines belong to a server and have no part in it.
"""

from typing import Any

from llm_sidecar import prompt
from llm_sidecar.compile import Compiled
from llm_sidecar.http import prepare
from llm_sidecar.http.prepare import Answered
from llm_sidecar.http.prepare import Prepared as Request
from llm_sidecar.http.routes import ROUTES, Route
from llm_sidecar.shape import check_nesting, too_large
from llm_sidecar.stream.relay import Filter
from llm_sidecar.traced import Traced

__all__ = ["CHAT", "COMPLETION", "GENERATE", "PATHS", "Filter", "Request", "Trial", "chat_body"]

CHAT = "/v1/chat/completions"
COMPLETION = "/v1/completions"
GENERATE = "/generate"
PATHS = (CHAT, COMPLETION, GENERATE)
"""Public paths a request can be tried on."""


def chat_body(compiled: Compiled, body: dict[str, Any]) -> bytes:
    """Return what an engine gets for a client's chat without stages, or raise Refusal."""
    return prepare.prepare(_route(CHAT), compiled, "", prompt.encode(body)).body


class Trial:
    """One request through one revision. ``judging`` knows what the stages did."""

    def __init__(self, compiled: Compiled, path: str, served_name: str) -> None:
        self._compiled = compiled
        self._route = _route(path)
        self._served_name = served_name
        self.judging = Traced()
        self.upstream = self._route.upstream

    async def request(self, body: bytes) -> Request:
        """Return what the engine gets, or raise Refusal."""
        limits = self._compiled.limits
        if len(body) > limits.max_body_bytes:
            raise too_large(limits.max_body_bytes)
        check_nesting(body, limits)
        return await prepare.guarded(self._route, self._compiled, self._served_name, body, self.judging)

    def stream(self, prepared: Request) -> Filter:
        """Return what an answer that comes in pieces goes through."""
        return prepared.stream(self._compiled, self.judging)

    async def answer(self, prepared: Request, status: int, body: bytes) -> Answered:
        """Return what the client gets for a whole answer of the engine, or raise Refusal."""
        return await prepare.answered(self._route, self._compiled, self.judging, prepared.echo, status, body)


def _route(path: str) -> Route:
    return ROUTES[path.encode()]
