"""The HTTP of gates that somebody else answers: one question to Prometheus or to a webhook, and what came back."""

import asyncio
from pathlib import Path
from urllib.parse import urlencode

import aiohttp

from llm_operator.api.config import Gates, GateServer
from llm_operator.core.gates.fetched import PROMETHEUS, Question
from llm_operator.shell.capped import capped

_TIMEOUT = aiohttp.ClientTimeout(total=10.0)
_CAP = 256 * 1024


async def pose(session: aiohttp.ClientSession, gates: Gates, question: Question) -> tuple[int, str]:
    """Ask once; return status and body, and where there is no answer 0 and why.

    A redirect is an answer like any other and not followed: only an administrator says who is asked.
    """
    server = gates.prometheus if question.server == PROMETHEUS else gates.webhooks.get(question.server)
    if server is None:
        return 0, "it is not set up in the operator's configuration any more"
    where, body, headers = _request(server, question)
    try:
        if server.token_file:  # read each time, since a Secret may be renewed
            headers["Authorization"] = f"Bearer {(await asyncio.to_thread(Path(server.token_file).read_text)).strip()}"
        headers["Accept-Encoding"] = "identity"  # what is packed could be far longer than it looks
        async with session.post(where, data=body, headers=headers, allow_redirects=False, timeout=_TIMEOUT) as response:
            return response.status, (await capped(response.content, _CAP)).decode(errors="replace")
    except TimeoutError:
        return 0, f"it did not answer within {_TIMEOUT.total:.0f} seconds"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return 0, str(error) or type(error).__name__


def _request(server: GateServer, question: Question) -> tuple[str, bytes, dict[str, str]]:
    if question.server == PROMETHEUS:
        body = urlencode({"query": question.text}).encode()
        return f"{server.url.rstrip('/')}/api/v1/query", body, {"Content-Type": "application/x-www-form-urlencoded"}
    return server.url, question.text.encode(), {"Content-Type": "application/json"}
