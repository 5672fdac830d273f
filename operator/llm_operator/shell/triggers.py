"""kopf as the source of events about custom resources and nothing else: an event means "look at this key", its content means nothing.

kopf runs on a loop and thread of its own: when it ends, for whatever reason, it cancels every task of its loop that it did not find
there at its start, and ours must not be among them. Only ``on.event`` handlers are registered, so kopf writes nothing to any object.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf

from llm_operator.core import kinds, names
from llm_operator.core.kinds import BY_KIND
from llm_operator.shell.cluster import GOODBYE_S, Credentials
from llm_operator.shell.follow import patience
from llm_operator.shell.news import Deliver, hint, key_of

_RELOGIN = timedelta(minutes=10)
_IDENTITY: Any = "llm-operator"


class Patience:
    """Pauses between kopf's attempts, without end. With a list of pauses kopf gives up after it, and its process with it."""

    def __iter__(self) -> Iterator[float]:
        """Return the pauses in seconds."""
        return patience()


class Watch:
    """The watches of custom resources. ``deliver`` is called on the loop that runs ``run``."""

    def __init__(self, deliver: Deliver, credentials: Callable[[], Awaitable[Credentials]], namespaces: Collection[str]) -> None:
        self._deliver = deliver
        self._credentials = credentials
        self._namespaces = namespaces

    async def run(self) -> None:
        """Watch until cancelled, or raise what ended the watch: it is not safe to go on without it."""
        ours = asyncio.get_running_loop()
        theirs: asyncio.Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = ours.create_future()

        async def host() -> None:
            stop = asyncio.Event()
            ours.call_soon_threadsafe(theirs.set_result, (asyncio.get_running_loop(), stop))
            scope = {"namespaces": self._namespaces} if self._namespaces else {"clusterwide": True}
            try:
                # Named by us: kopf would look up the user, and a container's user need not have an entry in passwd.
                await kopf.operator(registry=self._registry(ours), settings=settings(), identity=_IDENTITY, stop_flag=stop, **scope)
            finally:
                await asyncio.sleep(GOODBYE_S)

        thread = asyncio.create_task(asyncio.to_thread(asyncio.run, host()))
        try:
            await asyncio.shield(thread)
        except asyncio.CancelledError:
            loop, stop = await theirs
            loop.call_soon_threadsafe(stop.set)
            await thread
            raise
        raise RuntimeError("the watch ended by itself")

    def _registry(self, ours: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.ConnectionInfo:
            """Take the client's own credentials, so that both speak as one and follow a rotated token."""
            asked = asyncio.run_coroutine_threadsafe(_awaited(self._credentials), ours)
            return connection_info(await asyncio.wrap_future(asked), datetime.now(UTC))

        async def handle(resource: kopf.Resource, event: kopf.RawEvent, **_: Any) -> None:
            kind, body = BY_KIND[resource.kind or ""], event["object"]
            key = key_of(kind, body)
            if key:
                ours.call_soon_threadsafe(self._deliver, hint(key, kind, body, gone=event["type"] == "DELETED"))

        for kind in kinds.CUSTOM:
            kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id="enqueue")(handle)
        return registry


def settings() -> kopf.OperatorSettings:
    """Return settings under which kopf reads in pages, gives up on dead connections and joins no peering."""
    chosen = kopf.OperatorSettings()
    chosen.peering.standalone = True
    chosen.scanning.disabled = True
    chosen.posting.enabled = False
    chosen.persistence.finalizer = f"{names.GROUP}/kopf"
    chosen.watching.chunk_size = 100
    chosen.watching.server_timeout = 300
    chosen.watching.client_timeout = 330
    chosen.watching.connect_timeout = 10
    chosen.networking.request_timeout = 30
    chosen.networking.connect_timeout = 10
    chosen.networking.error_backoffs = Patience()
    chosen.queueing.exit_timeout = 1
    chosen.queueing.idle_timeout = 0.5  # a task and the last events of each object are held that long
    return chosen


def connection_info(credentials: Credentials, now: datetime) -> kopf.ConnectionInfo:
    """Return kopf's form of our credentials; a token is taken anew every few minutes because it rotates."""
    return kopf.ConnectionInfo(
        server=credentials.server,
        ca_path=credentials.ca_file,
        insecure=not credentials.verify,
        scheme=credentials.scheme,
        token=credentials.token,
        certificate_path=credentials.certificate_file,
        private_key_path=credentials.key_file,
        expiration=now + _RELOGIN if credentials.token else None,
    )


async def _awaited(ask: Callable[[], Awaitable[Credentials]]) -> Credentials:
    return await ask()
