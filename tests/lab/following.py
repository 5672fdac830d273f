"""Following the objects of one kind: a list, then every event after it, without a gap, for as long as the follower lives."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.lab.state import State

Object = dict[str, Any]

_PAGE = 500
_PAUSE_S = 0.2
_GOODBYE_S = 0.25
_LINE_MAX = 8 << 20
_OK = 200
_NOT_FOUND = 404
_FIRST_FAILURE = 300


class GoneError(Exception):
    """The events since the last one are no longer kept: list again."""


class RefusedError(Exception):
    """The API server refused a write."""


@dataclass
class Client:
    """Speaks to the API server as one of the lab's users."""

    session: aiohttp.ClientSession
    server: str

    async def json(self, path: str, **query: str) -> Any:
        """Return what the server answers; anything but success raises aiohttp's error."""
        async with self.session.get(self.server + path, params=query) as response:
            response.raise_for_status()
            return await response.json()

    async def send(self, method: str, path: str, body: Object | None = None, content_type: str = "application/json") -> Object | None:
        """Write; return the answer, or None when the object, or the place for it, is not there."""
        async with self.session.request(method, self.server + path, json=body, headers={"Content-Type": content_type}) as response:
            if response.status == _NOT_FOUND:
                return None
            if response.status >= _FIRST_FAILURE:
                raise RefusedError(f"{method} {path}: {response.status} {(await response.text())[:300]}")
            return dict(await response.json())


@asynccontextmanager
async def connect(state: State, user: str = "admin") -> AsyncIterator[Client]:
    """Yield a client that speaks as a user; its connections end with the context."""
    config = json.loads(state.kubeconfig(user).read_text())
    headers = {"Accept-Encoding": "identity", "Authorization": f"Bearer {config['users'][0]['user']['token']}"}
    async with session(state, headers) as opened:
        yield Client(opened, config["clusters"][0]["cluster"]["server"])


@asynccontextmanager
async def session(state: State, headers: dict[str, str] | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield a session that trusts the lab's API server and takes lines of any length."""
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(state.pki / "ca.crt")), limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(
        headers=headers, connector=connector, timeout=timeout, read_bufsize=_LINE_MAX, auto_decompress=False
    ) as opened:
        yield opened
    await asyncio.sleep(_GOODBYE_S)  # TLS says goodbye after connections count as closed


@dataclass
class Following:
    """The objects at a path. ``heard`` gets ADDED, MODIFIED or DELETED and the object; what a new list lacks is told as DELETED too."""

    client: Client
    path: str
    heard: Callable[[str, Object], None]
    labels: str = ""
    listed: asyncio.Event = field(default_factory=asyncio.Event)
    _live: dict[tuple[str, str], Object] = field(default_factory=dict)

    async def run(self) -> None:
        """Follow until cancelled; a server that is away is asked again and again."""
        version = ""
        while True:
            try:
                if not version:
                    version = await self._list()
                version = await self._watch(version)
            except GoneError:
                version = ""
            except (aiohttp.ClientError, OSError, TimeoutError):
                await asyncio.sleep(_PAUSE_S)

    async def _list(self) -> str:
        found: list[Object] = []
        token = ""
        while True:
            query = {"limit": str(_PAGE), "labelSelector": self.labels, "continue": token}
            page = await self.client.json(self.path, **{name: value for name, value in query.items() if value})
            found += page["items"]
            version, token = str(page["metadata"]["resourceVersion"]), str(page["metadata"].get("continue", ""))
            if not token:
                break
        there = {_key(each) for each in found}
        for key, gone in list(self._live.items()):
            if key not in there:
                self._tell("DELETED", gone)
        for each in found:
            if (self._live.get(_key(each)) or each)["metadata"]["uid"] != each["metadata"]["uid"]:
                self._tell("DELETED", self._live[_key(each)])
            self._tell("MODIFIED" if _key(each) in self._live else "ADDED", each)
        self.listed.set()
        return version

    async def _watch(self, version: str) -> str:
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version, "labelSelector": self.labels}
        async with self.client.session.get(self.client.server + self.path, params=query) as response:
            if response.status != _OK:
                raise GoneError
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise GoneError
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self._tell(event["type"], event["object"])
        return version

    def _tell(self, event: str, about: Object) -> None:
        if event == "DELETED":
            self._live.pop(_key(about), None)
        else:
            self._live[_key(about)] = about
        self.heard(event, about)


@asynccontextmanager
async def followed(*following: Following) -> AsyncIterator[None]:
    """Follow while the context lasts; it begins once everything has been listed. A follower that fails is told of at the end."""
    tasks = [asyncio.create_task(each.run()) for each in following]
    try:
        for each in following:
            await each.listed.wait()
        yield
    finally:
        failed = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in failed:
        task.result()


def _key(about: Object) -> tuple[str, str]:
    metadata = about["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
