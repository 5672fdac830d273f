"""The operator's process with the chart's account, configuration, roles and policies, up to the first pod of an engine."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hack import generate_rbac
from llm_operator.core import kinds
from tests.integration.chart import rights
from tests.integration.chart.as_operator import ACCOUNT, RELEASE, SERVED, SYSTEM
from tests.integration.chart.kit import kubectl, run
from tests.integration.chart.objects import LLM
from tests.lab.cluster import Lab
from tests.lab.wait import until

Object = dict[str, Any]

NAME = "own-rights"


def get(*what: str) -> Object:
    """Return objects of the namespace that is served; nothing there is an empty object."""
    text = kubectl("-n", SERVED, "get", *what, "--ignore-not-found", "--output=json")
    return dict(json.loads(text)) if text else {}


def mine(kind: str) -> list[Object]:
    return list(get(kind, "--selector", f"llmops.dev/deployment={NAME}").get("items", []))


def status() -> Object:
    return dict(get("llmdeployment", NAME).get("status", {}))


@pytest.fixture
def operator(release: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the operator as its pod does, but here."""
    assert release
    kubeconfig = json.loads(kubectl("config", "view", "--raw", "--flatten", "--output=json"))
    kubeconfig["users"] = [
        {"name": user["name"], "user": {"token": kubectl("-n", SYSTEM, "create", "token", RELEASE)}} for user in kubeconfig["users"]
    ]
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    config = json.loads(kubectl("-n", SYSTEM, "get", "configmap", RELEASE, "--output=json"))["data"]["config.yaml"]
    (tmp_path / "config.yaml").write_text(config)
    env = {**os.environ, "KUBECONFIG": str(tmp_path / "kubeconfig"), "LLM_OPERATOR_CONFIG": str(tmp_path / "config.yaml")}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "llm_operator"], env=env, stdout=log, stderr=subprocess.STDOUT)
    yield process
    process.terminate()
    code = process.wait(30)
    print((tmp_path / "log").read_text()[-4000:])  # noqa: T201  # shown when the test fails
    assert code == 0


def answers(path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:8081{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False


def finish_resolver() -> None:
    """Let the resolver's pod end as the kubelet would report it."""
    (pod,) = until(lambda: mine("pods"), timeout_s=30, what="the resolver's pod")
    answer = json.dumps({"digest": "sha256:" + "a" * 64, "bytes": 1, "files": 1})
    ended = {"exitCode": 0, "message": answer, "reason": "Completed"}
    container = {"name": "resolve", "image": "x", "imageID": "x", "ready": False, "restartCount": 0, "state": {"terminated": ended}}
    done = {"status": {"phase": "Succeeded", "containerStatuses": [container]}}
    kubectl("-n", SERVED, "patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", "--patch", json.dumps(done))


def test_the_process_needs_no_right_that_the_chart_does_not_give(operator: subprocess.Popen[bytes]) -> None:
    until(lambda: operator.poll() is None and answers("/readyz"), timeout_s=60, what="the operator ready")
    assert answers("/healthz")
    kubectl("-n", SERVED, "create", "--filename=-", stdin=json.dumps({**LLM, "metadata": {"name": NAME}}))
    finish_resolver()
    until(lambda: mine("deployments"), timeout_s=30, what="the engine's Deployment")
    until(lambda: mine("networkpolicies") and mine("poddisruptionbudgets") and mine("configmaps"), timeout_s=30, what="its other objects")
    until(lambda: not mine("jobs"), timeout_s=30, what="the Job deleted once it was read")
    until(lambda: status().get("phase"), timeout_s=30, what="a status")
    run(["kubectl", "-n", SERVED, "delete", "llmdeployment", NAME])
    nudge, lease = ("", "pods", "patch"), {(kinds.LEASE.group, kinds.LEASE.plural, verb) for verb in kinds.LEASE.verbs}
    granted = {(*to, verb) for to, verbs in generate_rbac.grants((*kinds.ALL, *kinds.SCALERS)).items() for verb in verbs}
    until(lambda: lease <= rights.used(Lab.current().audit_events(), ACCOUNT), timeout_s=30, what="the Lease renewed")
    events = list(Lab.current().audit_events())
    assert rights.forbidden(events, ACCOUNT) == []
    assert rights.used(events, ACCOUNT) <= granted | lease | {nudge}
    assert {("apps", "deployments", "create"), ("batch", "jobs", "delete"), ("", "pods", "watch")} <= rights.used(events, ACCOUNT)
