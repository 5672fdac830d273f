"""The Cluster port on a real API server: plain dicts over ``kubernetes.aio``'s transport, no typed models."""

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import load_incluster_config, load_kube_config
from yarl import URL

from llm_operator.core.kinds import BY_KIND, Kind
from llm_operator.core.names import FIELD_MANAGER, STATUS_MANAGER
from llm_operator.shell import errors
from llm_operator.shell.fence import Fence
from llm_operator.shell.ports import Manifest, Manifests
from llm_operator.shell.versions import is_before

_TIMEOUT_S, _CONNECT_S = 30, 10
_TIMEOUT = aiohttp.ClientTimeout(total=_TIMEOUT_S, connect=_CONNECT_S)
_WATCH_S = "300"
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=_CONNECT_S, sock_read=90)
"""The server sends a bookmark about every minute: a watch that is silent for longer is dead."""
GOODBYE_S = 0.25
_PAGE = 500
_UNBOUNDED = 0
"""Connections: each namespace has seven watches, and with a bound they would leave no room for anything else."""
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_READ = "GET"
_FIRST_FAILURE = 300


@dataclass(frozen=True)
class Credentials:
    """How to reach and convince the API server, for the watch source that speaks to it by itself."""

    server: str
    ca_file: str | None
    scheme: str | None
    token: str | None
    certificate_file: str | None
    key_file: str | None
    verify: bool


class _Transport(RESTClientObject):
    """The client's TLS, proxies and connections, without its way of serialising: that takes longer than all the rest of a request."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)
        configuration.client_session_kwargs = {"trust_env": False}  # else .netrc and proxies are looked up for each request
        self.proxy = self.proxy or _proxy(configuration.host)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], data: bytes | None, within: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """Return the answer, of which the body is not read yet."""
        if self.pool_manager is None:
            self.pool_manager = self._create_pool_manager()
        return await self.pool_manager.request(
            method,
            URL(url, encoded=True),
            headers=headers,
            data=data,
            timeout=within,
            server_hostname=self.configuration.tls_server_name,
            proxy=self.proxy,
            proxy_headers=self.proxy_headers,
        )


class KubernetesCluster:
    """The Cluster port on a real API server. ``connect`` makes one; ``close`` ends its connections."""

    def __init__(self, configuration: Configuration, user_agent: str, fence: Fence | None = None) -> None:
        self._configuration = configuration
        self._transport = _Transport(configuration)
        self._user_agent = user_agent
        self._fence = fence

    def behind(self, fence: Fence) -> "KubernetesCluster":
        """Return the same cluster over connections of its own, for those whose writes a fence may hold back.

        The fence is asked before a write and once more when its first byte is about to leave: a process may be paused between the two.
        """
        configuration = copy.copy(self._configuration)
        configuration.trace_configs = [_asking(fence)]
        return KubernetesCluster(configuration, self._user_agent, fence)

    async def close(self) -> None:
        """End all connections, and wait until TLS has said goodbye on them: it does so after they count as closed."""
        await self._transport.close()
        await asyncio.sleep(GOODBYE_S)

    async def credentials(self) -> Credentials:
        """Return the credentials in use now; a rotated service account token is read again at most a minute late."""
        configuration = self._configuration
        setting = (await configuration.auth_settings()).get("BearerToken", {})
        scheme, _, token = str(setting.get("value", "")).partition(" ")
        return Credentials(
            server=configuration.host,
            ca_file=configuration.ssl_ca_cert,
            scheme=scheme.capitalize() if token else None,
            token=token.strip() or None,
            certificate_file=configuration.cert_file,
            key_file=configuration.key_file,
            verify=configuration.verify_ssl,
        )

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        """Return one object or raise NotFoundError."""
        return await self._call("GET", kind.path(namespace, name))

    async def list(
        self, kind: Kind, namespace: str | None, *, labels: str = "", metadata_only: bool = False, not_before: str = ""
    ) -> Manifests:
        """Return all objects of a kind page by page; a page token that expired on the way starts the list again, once."""
        accept = _METADATA_LIST if metadata_only else _JSON
        try:
            return await self._list(kind, namespace, labels, accept, not_before)
        except errors.ExpiredError:
            return await self._list(kind, namespace, labels, accept, not_before)

    async def _list(self, kind: Kind, namespace: str | None, labels: str, accept: str, not_before: str) -> Manifests:
        return [each async for page in self._pages(kind, namespace, labels, _PAGE, accept, not_before) for each in page]

    def pages(self, kind: Kind, namespace: str | None, *, size: int) -> AsyncIterator[Manifests]:
        """Return all objects of a kind page by page."""
        return self._pages(kind, namespace, "", size, _JSON)

    async def _pages(
        self, kind: Kind, namespace: str | None, labels: str, size: int, accept: str, not_before: str = ""
    ) -> AsyncIterator[Manifests]:
        token = ""
        while True:
            query = {"limit": str(size), "labelSelector": labels, "continue": token}
            page = await self._call("GET", kind.path(namespace), query=query, accept=accept)
            version = page.get("metadata", {}).get("resourceVersion", "")
            if is_before(version, not_before):
                message = f"the list is of version {version}, and {not_before} is known"
                raise errors.StaleError(200, "StaleAnswer", message, f"GET {kind.path(namespace)}")
            # Items of built-in kinds come without them, and metadata-only ones with those of PartialObjectMetadata.
            yield [item | {"apiVersion": kind.api_version, "kind": kind.kind} for item in page.get("items") or []]
            token = page.get("metadata", {}).get("continue") or ""
            if not token:
                return

    async def version(self, kind: Kind, namespace: str | None, labels: str) -> str:
        """Return the version of a collection: where a watch can begin."""
        page = await self._call("GET", kind.path(namespace), query={"limit": "1", "labelSelector": labels}, accept=_METADATA_LIST)
        return str(page["metadata"]["resourceVersion"])

    async def watch(self, kind: Kind, namespace: str | None, labels: str, version: str, *, metadata_only: bool) -> AsyncIterator[Manifest]:
        """Yield what happens after a version until the server ends the watch; raises ExpiredError when that is no longer known."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": _WATCH_S,
            "labelSelector": labels,
            "resourceVersion": version,
        }
        what = f"WATCH {kind.path(namespace)}"
        url = f"{kind.path(namespace)}?{urlencode(query)}"
        async with _translated(what):
            response = await self._send("GET", url, {"Accept": _METADATA if metadata_only else _JSON}, None, _WATCH_TIMEOUT)
            if response.status >= _FIRST_FAILURE:
                raise _failure(response.status, response.headers.get("Retry-After"), await response.read(), what)
            try:
                async for line in _lines(response.content):
                    event = dict(msgspec.json.decode(line))
                    if event["type"] == "ERROR":
                        told = event["object"]
                        raise errors.from_response(told.get("code") or 0, told.get("reason") or "", told.get("message") or "", what)
                    yield event
            finally:
                response.close()

    async def apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        """Apply a whole object server-side as the operator's field manager."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"}
        return await self._call("PATCH", _path(manifest), query=query, body=manifest, content_type=_APPLY)

    async def apply_status(self, manifest: Manifest) -> Manifest:
        """Apply the status of an object server-side as the status' field manager."""
        query = {"fieldManager": STATUS_MANAGER, "force": "true"}
        return await self._call("PATCH", _path(manifest, "status"), query=query, body=manifest, content_type=_APPLY)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete exactly the object with this uid, its dependents in the background."""
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            await self._call("DELETE", kind.path(namespace, name), body=options, content_type=_JSON)
        except (errors.NotFoundError, errors.ConflictError):
            return  # gone, or replaced by one with another uid: either way the one we meant is no more

    async def annotate(self, kind: Kind, namespace: str, name: str, annotations: Mapping[str, str]) -> None:
        """Merge annotations into an object's metadata."""
        body = {"metadata": {"annotations": dict(annotations)}}
        query = {"fieldManager": FIELD_MANAGER}
        await self._call("PATCH", kind.path(namespace, name), query=query, body=body, content_type=_MERGE)

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Create an object, or raise ConflictError when there is one of its name."""
        return await self._call("POST", kind.path(manifest["metadata"]["namespace"]), body=manifest)

    async def update(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Replace an object of the resourceVersion in its metadata, or raise ConflictError."""
        metadata = manifest["metadata"]
        return await self._call("PUT", kind.path(metadata["namespace"], metadata["name"]), body=manifest)

    async def serves(self, kind: Kind) -> bool:
        """Return whether the server's discovery lists this kind; needs no right beyond being authenticated."""
        try:
            found = await self._call("GET", f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}")
        except errors.NotFoundError:
            return False
        return any(resource.get("name") == kind.plural for resource in found.get("resources", []))

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> Manifest:
        what = f"{method} {path}"
        wanted = {name: value for name, value in (query or {}).items() if value}
        url = f"{path}?{urlencode(wanted)}" if wanted else path
        headers = {"Accept": accept, "Content-Type": content_type}
        within = _TIMEOUT
        if self._fence and method != _READ:
            within = aiohttp.ClientTimeout(total=min(_TIMEOUT_S, self._fence.check()), connect=_CONNECT_S)
        async with _translated(what):
            response = await self._send(method, url, headers, body, within)
            data = await response.read()
        if response.status >= _FIRST_FAILURE:
            raise _failure(response.status, response.headers.get("Retry-After"), data, what)
        try:
            return dict(msgspec.json.decode(data))
        except (msgspec.DecodeError, ValueError, TypeError) as error:
            raise errors.TransientError(response.status, "BadAnswer", "the API server's answer is not JSON", what) from error

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: Manifest | None, within: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        sent = {**headers, "User-Agent": self._user_agent, "Accept-Encoding": "identity"}
        if token := (await self._configuration.auth_settings()).get("BearerToken", {}).get("value"):
            sent["Authorization"] = str(token)
        data = None if body is None else msgspec.json.encode(body)
        return await self._transport.send(method, f"{self._configuration.host}{url}", sent, data, within)


@asynccontextmanager
async def _translated(what: str) -> AsyncIterator[None]:
    """Say failures of the network in our words."""
    try:
        yield
    except TimeoutError as error:
        raise errors.TransientError(0, "Timeout", "the API server did not answer in time", what) from error
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error.__cause__, errors.FencedError):
            raise error.__cause__ from None
        raise errors.TransientError(0, "Unreachable", f"the API server cannot be reached: {error}", what) from error


def _asking(fence: Fence) -> aiohttp.TraceConfig:
    """Return what has a fence asked before each part of a write's body; the first one takes the request's head along."""

    async def ask(_session: aiohttp.ClientSession, _context: object, sent: aiohttp.TraceRequestChunkSentParams) -> None:
        if sent.method != _READ:
            fence.check()

    asking = aiohttp.TraceConfig()
    asking.on_request_chunk_sent.append(ask)
    return asking


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield the lines of a stream, however long they are."""
    parts: list[bytes] = []
    async for chunk in stream.iter_any():
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            yield b"".join((*parts, line))
            parts.clear()
        parts.append(rest)


async def connect(user_agent: str, kubeconfig: str | None) -> KubernetesCluster:
    """Return a cluster for a kubeconfig, or without one for the service account of the pod this runs in."""
    configuration = Configuration(connection_pool_maxsize=_UNBOUNDED)
    if kubeconfig:
        await load_kube_config(config_file=kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]  # same
    else:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # same
    return KubernetesCluster(configuration, user_agent)


def _proxy(server: str) -> str | None:
    """Return the proxy that the environment names for a server."""
    url = urlsplit(server)
    return None if proxy_bypass(url.netloc) else getproxies().get(url.scheme)


def _path(manifest: Manifest, subresource: str | None = None) -> str:
    kind = BY_KIND[manifest["kind"]]
    metadata = manifest["metadata"]
    return kind.path(metadata["namespace"], metadata["name"], subresource)


def _failure(status: int, retry_after: str | None, data: bytes, what: str) -> errors.ApiError:
    """Return the error for an answer; its text is the server's Status message where there is one."""
    try:
        answer: dict[str, Any] = dict(json.loads(data))
    except (ValueError, TypeError):
        answer = {}
    message = str(answer.get("message") or data[:200].decode(errors="replace") or f"status {status}")
    patience = float(retry_after) if retry_after and retry_after.isdigit() else None
    return errors.from_response(status, str(answer.get("reason") or ""), message, what, patience)
