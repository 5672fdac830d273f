"""Keys on a real node: the kubelet brings them, and takes them away, while the pods run. The engine is the stub."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e import figures, kit
from tests.e2e.manifests import SMALL, api_keys, deployment

NS = "llm-e2e"
NAME = "locked"
WITHIN_S = 120
ASK = {"model": NAME, "prompt": "x", "max_tokens": 1}


@pytest.fixture(scope="module")
def locked(platform: None) -> Iterator[str]:  # noqa: ARG001  # the platform must be up first
    """One settled LLMDeployment with two pods that ask for keys, before there is any; its address."""
    kit.apply(deployment(NAME, replicas=2, auth={"apiKeys": "Required"}, **SMALL), namespace=NS)
    kit.wait_settled(NAME, NS, replicas=2)
    yield kit.address(NAME, NS)
    kit.kubectl("-n", NS, "delete", "llm", NAME, "--ignore-not-found", "--wait=true")
    kit.kubectl("-n", NS, "delete", "secret", f"{NAME}-sidecar", "--ignore-not-found")


def _keys(**keys: str) -> None:
    kit.apply(api_keys(NAME, **keys), namespace=NS)


def _told(key: str) -> set[int]:
    """Return what each pod answers to a key."""
    hosts = [pod["status"]["podIP"] for pod in kit.pods_of(NAME, NS)]
    return {kit.request(host, "POST", "/v1/completions", ASK, authorization=f"Bearer {key}").status for host in hosts}


def test_keys_come_and_go_within_two_minutes_and_restart_nothing(locked: str) -> None:
    before = kit.pods_of(NAME, NS)
    refused = kit.request(locked, "POST", "/v1/completions", ASK, authorization="Bearer first")
    assert (refused.status, refused.json()["error"]["code"]) == (503, "keys_unavailable")
    _keys(one="first", two="second")
    came_s = kit.seconds_until(lambda: _told("first") == {200}, timeout_s=WITHIN_S, what="a new key at every pod")
    assert kit.request(locked, "POST", "/v1/completions", ASK).status == 401
    _keys(two="second")
    gone_s = kit.seconds_until(lambda: _told("first") == {401}, timeout_s=WITHIN_S, what="a key revoked at every pod")
    assert _told("second") == {200}
    figures.record("api_keys_s", came=came_s, gone=gone_s)
    after = kit.pods_of(NAME, NS)
    assert {pod["metadata"]["uid"] for pod in after} == {pod["metadata"]["uid"] for pod in before}
    assert set(kit.each_restart(after)) == {0}
    served = json.loads(kit.request(after[0]["status"]["podIP"], "GET", "/-/stats", port=9090).body)["revisions"]
    revision = kit.llm(NAME, NS)["status"]["stable"]["revision"]
    assert sum(row[0] for row in served[revision]["buckets"].values()) > 0
