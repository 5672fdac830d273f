"""The client against a server that records what it is asked: paths, queries, bodies, and what becomes of each answer."""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import certifi
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.config import incluster_config

from llm_operator.core import kinds
from llm_operator.shell import errors
from llm_operator.shell.cluster import KubernetesCluster, connect
from llm_operator.shell.fence import Fence, boot_time

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "ns", "name": "x"}, "data": {"a": "1"}}


class Server:
    """Answers what a test puts in and keeps what came."""

    def __init__(self) -> None:
        self.answers: list[web.Response] = []
        self.requests: list[dict[str, Any]] = []
        self.silent = False
        self.over = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append(
            {
                "method": request.method,
                "path": request.path,
                "query": dict(request.query),
                "headers": dict(request.headers),
                "body": json.loads(body) if body else None,
            }
        )
        if self.silent:
            await self.over.wait()
        return self.answers.pop(0) if self.answers else web.json_response({"metadata": {}})

    def fails(self, status: int, message: str = "no", reason: str = "", headers: dict[str, str] | None = None) -> None:
        self.answers.append(web.json_response({"message": message, "reason": reason}, status=status, headers=headers))


def kubeconfig(folder: Path, server: str) -> str:
    """Write a kubeconfig for a server and return its path."""
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(content))
    return str(path)


@pytest.fixture(autouse=True)
def _no_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TLS there is nothing to wait for once a connection is closed."""
    monkeypatch.setattr("llm_operator.shell.cluster.GOODBYE_S", 0)


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def cluster(server: Server, tmp_path: Path) -> AsyncIterator[KubernetesCluster]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.handle)
    async with TestServer(app) as running:
        connected = await connect("llm-operator/test", kubeconfig(tmp_path, str(running.make_url("")).rstrip("/")))
        yield connected
        server.over.set()
        await connected.close()


async def test_a_request_says_who_it_comes_from(server: Server, cluster: KubernetesCluster) -> None:
    await cluster.get(kinds.DEPLOYMENT, "ns", "x")
    request = server.requests[0]
    assert (request["method"], request["path"]) == ("GET", "/apis/apps/v1/namespaces/ns/deployments/x")
    assert request["headers"]["Authorization"] == "Bearer secret"
    assert request["headers"]["User-Agent"] == "llm-operator/test"


async def test_a_list_is_read_page_by_page_and_its_items_get_their_kind(server: Server, cluster: KubernetesCluster) -> None:
    server.answers = [
        web.json_response({"metadata": {"continue": "next"}, "items": [{"metadata": {"name": "a"}}]}),
        web.json_response({"metadata": {}, "items": [{"metadata": {"name": "b"}}]}),
    ]
    found = await cluster.list(kinds.POD, "ns", labels="a=b,c=d")
    assert [(each["kind"], each["apiVersion"], each["metadata"]["name"]) for each in found] == [("Pod", "v1", "a"), ("Pod", "v1", "b")]
    assert [each["query"] for each in server.requests] == [
        {"limit": "500", "labelSelector": "a=b,c=d"},
        {"limit": "500", "labelSelector": "a=b,c=d", "continue": "next"},
    ]


async def test_a_page_token_that_expired_starts_the_list_again(server: Server, cluster: KubernetesCluster) -> None:
    server.answers = [web.json_response({"metadata": {"continue": "old"}, "items": [{"metadata": {"name": "a"}}]})]
    server.fails(410, "the provided continue parameter is too old")
    server.answers.append(web.json_response({"metadata": {}, "items": [{"metadata": {"name": "a"}}]}))
    found = await cluster.list(kinds.POD, None)
    assert [each["metadata"]["name"] for each in found] == ["a"]
    assert server.requests[-1]["path"] == "/api/v1/pods"


@pytest.mark.parametrize(("version", "is_stale"), [("8", True), ("9", False), ("10", False), ("x", False)])
async def test_a_list_from_before_a_known_version_is_no_answer(
    server: Server, cluster: KubernetesCluster, version: str, is_stale: bool
) -> None:
    server.answers = [web.json_response({"metadata": {"resourceVersion": version}, "items": []})]
    with pytest.raises(errors.StaleError, match="of version 8, and 9 is known") if is_stale else nullcontext():
        await cluster.list(kinds.POD, "ns", not_before="9")


async def test_metadata_alone_is_asked_for_by_content_type(server: Server, cluster: KubernetesCluster) -> None:
    server.answers = [web.json_response({"metadata": {}, "items": [{"kind": "PartialObjectMetadata", "metadata": {"name": "a"}}]})]
    found = await cluster.list(kinds.CONTROLLER_REVISION, "ns", metadata_only=True)
    assert server.requests[0]["headers"]["Accept"] == "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    assert found[0]["kind"] == "ControllerRevision"


@pytest.mark.parametrize("force", [True, False])
async def test_an_apply_is_server_side_under_our_name(server: Server, cluster: KubernetesCluster, force: bool) -> None:
    await cluster.apply(CONFIG_MAP, force=force)
    request = server.requests[0]
    assert (request["method"], request["path"]) == ("PATCH", "/api/v1/namespaces/ns/configmaps/x")
    assert request["headers"]["Content-Type"] == "application/apply-patch+yaml"
    assert request["query"] == {"fieldManager": "llm-operator", "force": str(force).lower()}
    assert request["body"] == CONFIG_MAP


async def test_a_status_is_applied_to_its_subresource_under_a_name_of_its_own(server: Server, cluster: KubernetesCluster) -> None:
    metadata = {"namespace": "ns", "name": "chat", "resourceVersion": "7"}
    await cluster.apply_status({"apiVersion": "llmops.dev/v1alpha1", "kind": "LLMDeployment", "metadata": metadata, "status": {}})
    request = server.requests[0]
    assert request["path"] == "/apis/llmops.dev/v1alpha1/namespaces/ns/llmdeployments/chat/status"
    assert request["query"] == {"fieldManager": "llm-operator-status", "force": "true"}
    assert request["body"]["metadata"]["resourceVersion"] == "7"


async def test_a_deletion_names_the_uid_and_leaves_dependents_to_the_background(server: Server, cluster: KubernetesCluster) -> None:
    await cluster.delete(kinds.SERVICE, "ns", "x", "u-1")
    assert server.requests[0]["method"] == "DELETE"
    assert server.requests[0]["body"] == {"propagationPolicy": "Background", "preconditions": {"uid": "u-1"}}


@pytest.mark.parametrize(("status", "message"), [(404, "not found"), (409, "the UID in the precondition (u-1) does not match")])
async def test_deleting_what_is_gone_or_replaced_is_no_error(server: Server, cluster: KubernetesCluster, status: int, message: str) -> None:
    server.fails(status, message)
    await cluster.delete(kinds.SERVICE, "ns", "x", "u-1")


async def test_an_annotation_changes_nothing_else(server: Server, cluster: KubernetesCluster) -> None:
    await cluster.annotate(kinds.POD, "ns", "p", {"llmops.dev/table-generation": "7"})
    request = server.requests[0]
    assert request["headers"]["Content-Type"] == "application/merge-patch+json"
    assert request["body"] == {"metadata": {"annotations": {"llmops.dev/table-generation": "7"}}}


async def test_a_kind_is_served_when_discovery_lists_it(server: Server, cluster: KubernetesCluster) -> None:
    server.answers = [web.json_response({"resources": [{"name": "llmdeployments"}]}) for _ in range(2)]
    assert await cluster.serves(kinds.LLM_DEPLOYMENT)
    assert not await cluster.serves(kinds.LLM_PROMPT)
    server.fails(404)
    assert not await cluster.serves(kinds.LLM_PROMPT)
    await cluster.serves(kinds.POD)
    assert [each["path"] for each in server.requests] == ["/apis/llmops.dev/v1alpha1"] * 3 + ["/api/v1"]


async def test_a_refusal_carries_the_servers_words_and_what_was_asked(server: Server, cluster: KubernetesCluster) -> None:
    server.fails(403, "exceeded quota: gpus", "Forbidden")
    with pytest.raises(errors.ForbiddenError) as caught:
        await cluster.apply(CONFIG_MAP, force=True)
    assert caught.value.message == "exceeded quota: gpus"
    assert caught.value.what == "PATCH /api/v1/namespaces/ns/configmaps/x"


async def test_the_patience_the_server_asks_for_is_kept(server: Server, cluster: KubernetesCluster) -> None:
    server.fails(429, "slow down", headers={"Retry-After": "3"})
    with pytest.raises(errors.TransientError) as caught:
        await cluster.get(kinds.POD, "ns", "p")
    assert caught.value.retry_after_s == 3.0


async def test_an_answer_that_is_not_json_is_trouble_and_not_a_bug(server: Server, cluster: KubernetesCluster) -> None:
    server.answers = [web.Response(text="<html>"), web.Response(text="<html>bad gateway", status=502)]
    for expected in ("not JSON", "bad gateway"):
        with pytest.raises(errors.TransientError, match=expected):
            await cluster.get(kinds.POD, "ns", "p")


async def test_a_server_that_does_not_answer_is_given_up_on(
    server: Server, cluster: KubernetesCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_operator.shell.cluster._TIMEOUT", aiohttp.ClientTimeout(total=0.05))
    server.silent = True
    with pytest.raises(errors.TransientError, match="did not answer in time"):
        await cluster.get(kinds.POD, "ns", "p")


async def test_a_server_that_is_not_there_is_trouble(tmp_path: Path) -> None:
    nowhere = await connect("test", kubeconfig(tmp_path, "http://127.0.0.1:1"))
    with pytest.raises(errors.TransientError, match="cannot be reached"):
        await nowhere.get(kinds.POD, "ns", "p")
    await nowhere.close()


@pytest.mark.parametrize("no_proxy", ["", "127.0.0.1"])
async def test_a_proxy_is_used_that_the_environment_names(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_proxy: str
) -> None:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.handle)
    async with TestServer(app) as proxy:
        monkeypatch.setenv("http_proxy", str(proxy.make_url("")))
        monkeypatch.setenv("no_proxy", no_proxy)
        beyond = await connect("test", kubeconfig(tmp_path, "http://127.0.0.1:1"))
        if no_proxy:
            with pytest.raises(errors.TransientError, match="cannot be reached"):
                await beyond.get(kinds.POD, "ns", "p")
        else:
            await beyond.get(kinds.POD, "ns", "p")
        await beyond.close()
    assert [each["headers"]["Host"] for each in server.requests] == ([] if no_proxy else ["127.0.0.1:1"])


async def test_the_credentials_in_use_can_be_lent_to_the_watch(cluster: KubernetesCluster) -> None:
    lent = await cluster.credentials()
    assert (lent.scheme, lent.token, lent.verify) == ("Bearer", "secret", True)
    assert lent.server.startswith("http://127.0.0.1:")


async def test_a_rotated_service_account_token_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", certifi.where())
    inside = await connect("test", None)
    assert (await inside.credentials()).token == "first"
    token.write_text("second\n")
    assert (await inside.credentials()).token == "first", "the file is not read for each request"
    later = dt.datetime.now() + dt.timedelta(minutes=2)  # noqa: DTZ005  # the client's own clock is naive
    clock = SimpleNamespace(datetime=SimpleNamespace(now=lambda: later), timedelta=dt.timedelta)
    monkeypatch.setattr(incluster_config, "datetime", clock)
    lent = await inside.credentials()
    assert (lent.scheme, lent.token, lent.server) == ("Bearer", "second", "https://10.0.0.1:443")
    token.write_text("third\n")
    fenced, later = inside.behind(Fence()), later + dt.timedelta(minutes=2)
    assert (await fenced.credentials()).token == "third"
    await fenced.close()
    await inside.close()


async def test_a_lease_is_created_and_then_replaced_in_the_version_it_was_read_in(server: Server, cluster: KubernetesCluster) -> None:
    lease = {"metadata": {"namespace": "ns", "name": "x", "resourceVersion": "7"}, "spec": {"holderIdentity": "a"}}
    await cluster.create(kinds.LEASE, lease)
    await cluster.update(kinds.LEASE, lease)
    collection = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"
    assert [(each["method"], each["path"]) for each in server.requests] == [("POST", collection), ("PUT", f"{collection}/x")]
    assert [each["body"] for each in server.requests] == [lease, lease]


@pytest.fixture
async def behind(cluster: KubernetesCluster) -> AsyncIterator[tuple[KubernetesCluster, Fence]]:
    fence = Fence()
    fenced = cluster.behind(fence)
    yield fenced, fence
    await fenced.close()


WRITES: dict[str, Callable[[KubernetesCluster], Awaitable[Any]]] = {
    "apply": lambda cluster: cluster.apply(CONFIG_MAP, force=False),
    "status": lambda cluster: cluster.apply_status({**CONFIG_MAP, "status": {}}),
    "delete": lambda cluster: cluster.delete(kinds.SERVICE, "ns", "x", "u-1"),
    "annotate": lambda cluster: cluster.annotate(kinds.POD, "ns", "p", {"a": "b"}),
    "create": lambda cluster: cluster.create(kinds.LEASE, CONFIG_MAP),
    "update": lambda cluster: cluster.update(kinds.LEASE, CONFIG_MAP),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_no_write_leaves_while_the_fence_is_closed(
    server: Server, behind: tuple[KubernetesCluster, Fence], write: Callable[[KubernetesCluster], Awaitable[Any]]
) -> None:
    fenced, fence = behind
    with pytest.raises(errors.FencedError):
        await write(fenced)
    await fenced.get(kinds.POD, "ns", "p")
    fence.open(boot_time() + 60)
    await write(fenced)
    fence.close()
    with pytest.raises(errors.FencedError):
        await write(fenced)
    assert server.requests[0]["method"] == "GET"
    assert len(server.requests) == 2


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_a_write_that_was_begun_before_the_fence_closed_is_held_back_at_its_first_byte(
    server: Server, behind: tuple[KubernetesCluster, Fence], write: Callable[[KubernetesCluster], Awaitable[Any]]
) -> None:
    """As when the process is paused after it has asked the fence: the connection is made, and then no byte is sent over it."""
    fenced, fence = behind
    passes = iter([8.0])
    checked = fence.check
    fence.check = lambda: next(passes, None) or checked()  # type: ignore[method-assign]  # open the first time it is asked, closed the second
    with pytest.raises(errors.FencedError):
        await write(fenced)
    assert next(passes, None) is None
    assert server.requests == []


async def test_a_write_has_no_longer_than_the_lease_to_arrive(server: Server, behind: tuple[KubernetesCluster, Fence]) -> None:
    fenced, fence = behind
    server.silent = True
    fence.check = lambda: 0.05  # type: ignore[method-assign]  # what is left of the Lease
    with pytest.raises(errors.TransientError, match="did not answer in time"):
        await fenced.apply(CONFIG_MAP, force=False)
