"""The operator is away, its connection breaks, its credentials run out, its process is told to go."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_operator.api.config import OperatorConfig
from llm_operator.core import kinds
from llm_operator.core.names import ANNOTATION_GENERATION
from llm_operator.shell.http import PORT
from tests.fakes.objects import llm_deployment, operator_config
from tests.integration.operating import RunningOperator
from tests.integration.server import OWNED, Server, condition
from tests.integration.stage import Stage
from tests.integration.test_lifecycle import RESTORED_S, time_passes, wait_settled, writes
from tests.lab.wait import until

Object = dict[str, Any]


@pytest.fixture
def place(server: Server, spaces: Callable[[], str], stage: Stage, account: str) -> Iterator[tuple[str, OperatorConfig, str]]:
    """Return a namespace nobody looks after yet, a configuration for who will, and the account."""
    assert server
    assert stage
    name = spaces()
    yield name, operator_config(namespaces=[name]), account
    stage.deaf.discard(name)


def versions(server: Server, namespace: str) -> dict[str, str]:
    """Return the resourceVersion of everything the operator may write."""
    return {
        f"{kind.kind} {each['metadata']['name']}": each["metadata"]["resourceVersion"]
        for kind in (*OWNED, kinds.LLM_DEPLOYMENT)
        for each in server.list(kind, namespace)
    }


def break_and_wait(server: Server, namespace: str, timeout_s: float = RESTORED_S) -> None:
    """Delete a child and wait until it is back."""
    (lost,) = server.children(namespace, "chat", kinds.NETWORK_POLICY)
    server.delete(kinds.NETWORK_POLICY, namespace, lost["metadata"]["name"])
    until(lambda: server.children(namespace, "chat", kinds.NETWORK_POLICY), timeout_s=timeout_s, what="the NetworkPolicy restored")


def test_a_restart_at_rest_writes_nothing(server: Server, place: tuple[str, OperatorConfig, str]) -> None:
    namespace, config, account = place
    with RunningOperator(config, account):
        server.create(llm_deployment("chat", namespace), namespace)
        wait_settled(server, namespace, "chat")
        time_passes(2)
    before, written, read = versions(server, namespace), len(writes(server, namespace)), surveys(server, namespace)
    with RunningOperator(config, account):
        until(lambda: surveys(server, namespace) > read, timeout_s=20, what="the resync after the restart")
        time_passes(5)
    assert versions(server, namespace) == before
    assert writes(server, namespace)[written:] == []


def surveys(server: Server, namespace: str) -> int:
    """Return how many times the LLMDeployments were read for a resync."""
    path = f"/apis/llmops.dev/v1alpha1/namespaces/{namespace}/llmdeployments?"
    return sum(each["requestURI"].startswith(path) and each["verb"] == "list" for each in server.lab.audit_events())


def test_damage_done_while_the_operator_was_away_is_repaired_at_its_start(server: Server, place: tuple[str, OperatorConfig, str]) -> None:
    namespace, config, account = place
    with RunningOperator(config, account):
        server.create(llm_deployment("chat", namespace, replicas=2), namespace)
        server.create(llm_deployment("leaves", namespace), namespace)
        wait_settled(server, namespace, "chat")
        wait_settled(server, namespace, "leaves")
    server.delete(kinds.SERVICE, namespace, "chat")
    server.delete(kinds.POD_DISRUPTION_BUDGET, namespace, "chat")
    (engine,) = server.children(namespace, "chat", kinds.DEPLOYMENT)
    server.merge(kinds.DEPLOYMENT, namespace, engine["metadata"]["name"], {"spec": {"replicas": 0}})
    server.merge(kinds.LLM_DEPLOYMENT, namespace, "chat", {"spec": {"replicas": 3}})
    server.delete(kinds.LLM_DEPLOYMENT, namespace, "leaves")
    until(lambda: not server.children(namespace, "leaves", kinds.SERVICE), timeout_s=30, what="children collected without the operator")
    with RunningOperator(config, account):
        wait_settled(server, namespace, "chat", timeout_s=30)
        assert server.get(kinds.SERVICE, namespace, "chat")
        assert server.get(kinds.POD_DISRUPTION_BUDGET, namespace, "chat")
        assert server.status(namespace, "chat")["readyReplicas"] == 3


def test_the_watch_outlives_the_credentials_it_began_with(
    server: Server, place: tuple[str, OperatorConfig, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_operator.shell.triggers._RELOGIN", timedelta(seconds=2))
    namespace, config, account = place
    with RunningOperator(config, account):
        server.create(llm_deployment("chat", namespace), namespace)
        wait_settled(server, namespace, "chat")
        for _ in range(3):
            time_passes(3)
            break_and_wait(server, namespace)


def test_an_api_server_that_goes_and_comes_back_finds_the_operator_at_work(server: Server, place: tuple[str, OperatorConfig, str]) -> None:
    namespace, config, account = place
    with RunningOperator(config, account):
        server.create(llm_deployment("chat", namespace), namespace)
        wait_settled(server, namespace, "chat")
        server.lab.stop("kube-apiserver")
        try:
            time_passes(5)
        finally:
            server.lab.start("kube-apiserver")
        until(server.ready, timeout_s=60, what="the API server back")
        break_and_wait(server, namespace, timeout_s=60)
        wait_settled(server, namespace, "chat", timeout_s=60)


def test_a_served_namespace_that_is_deleted_stops_nothing_in_the_others(
    server: Server, stage: Stage, spaces: Callable[[], str], own_roles: Callable[[list[str]], str], tmp_path: Path
) -> None:
    """Also for an operator that starts after the deletion: the Role that let it read there is gone with the namespace."""
    assert stage
    stays, goes = spaces(), spaces()
    config, account = operator_config(namespaces=[stays, goes], nudge=False), own_roles([stays, goes])
    with RunningOperator(config, account):
        server.create(llm_deployment("chat", stays), stays)
        wait_settled(server, stays, "chat")
        server.delete_namespace(goes)
        until(lambda: not server.has_namespace(goes), timeout_s=60, what="the namespace gone")
        break_and_wait(server, stays)
    with process_of(config, account, tmp_path):
        until(lambda: answer("/readyz")[0] == 200, timeout_s=60, what="the operator ready")
        break_and_wait(server, stays)


@pytest.mark.parametrize("present", [True, False], ids=["operator at work", "operator gone"])
def test_a_namespace_goes_within_a_minute_whether_the_operator_is_there_or_not(
    server: Server, place: tuple[str, OperatorConfig, str], caplog: pytest.LogCaptureFixture, present: bool
) -> None:
    namespace, config, account = place
    with ExitStack() as running:
        operator = running.enter_context(RunningOperator(config, account))
        server.create(llm_deployment("chat", namespace), namespace)
        wait_settled(server, namespace, "chat")
        server.create(llm_deployment("begun", namespace), namespace)
        if not present:
            operator.stop()
        server.delete_namespace(namespace)
        until(lambda: not server.has_namespace(namespace), timeout_s=60, what="the namespace gone")
    assert not [record for record in caplog.records if record.name == "llm_operator" and record.levelname == "ERROR"]


def test_a_kubelet_that_notices_no_nudge_is_waited_for_and_nudged_three_times_at_most(
    server: Server, stage: Stage, place: tuple[str, OperatorConfig, str]
) -> None:
    namespace, config, account = place
    with RunningOperator(config, account):
        server.create(llm_deployment("chat", namespace, prompt={"inline": {"system": "One."}}), namespace)
        wait_settled(server, namespace, "chat")
        stage.deaf.add(namespace)
        server.merge(kinds.LLM_DEPLOYMENT, namespace, "chat", {"spec": {"prompt": {"inline": {"system": "Two."}}}})
        (pod,) = server.engine_pods(namespace, "chat")

        def nudges() -> int:
            uri = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}?"
            return sum(each["verb"] == "patch" and each["requestURI"].startswith(uri) for each in server.lab.audit_events())

        before = nudges()
        until(lambda: nudges() - before > 1, timeout_s=30, what="more than one nudge")
        time_passes(15)
        assert nudges() - before <= 3
        programmed = condition(server.status(namespace, "chat"), "TableProgrammed")
        assert programmed["status"] == "False"
        assert condition(server.status(namespace, "chat"), "Ready")["status"] == "True"
        assert ANNOTATION_GENERATION in server.must(kinds.POD, namespace, pod["metadata"]["name"])["metadata"]["annotations"]
        stage.deaf.discard(namespace)
        wait_settled(server, namespace, "chat", timeout_s=30)


@contextmanager
def process_of(config: OperatorConfig, account: str, directory: Path, **env: str) -> Iterator[subprocess.Popen[str]]:
    """Run the operator as a process of its own."""
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(by_alias=True, mode="json", exclude_none=True)))
    environment = {**os.environ, "KUBECONFIG": account, "LLM_OPERATOR_CONFIG": str(path), **env}
    with subprocess.Popen([sys.executable, "-m", "llm_operator"], env=environment, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.fixture
def process(place: tuple[str, OperatorConfig, str], tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Return a namespace and the operator as a process of its own that looks after it."""
    namespace, config, account = place
    with process_of(config, account, tmp_path) as running:
        yield namespace, running


def answer(path: str) -> tuple[int, str]:
    """Return what the operator's own server answers; nothing at all counts as 0."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError as error:
        return 0, str(error)
    finally:
        connection.close()


def test_the_process_serves_tells_of_its_decisions_and_goes_within_ten_seconds(
    server: Server, process: tuple[str, subprocess.Popen[str]]
) -> None:
    namespace, running = process
    until(lambda: answer("/readyz")[0] == 200, timeout_s=30, what="the operator ready")
    assert answer("/healthz") == (200, "ok")
    server.create(llm_deployment("chat", namespace), namespace)
    wait_settled(server, namespace, "chat")
    assert 'llm_operator_writes_total{kind="Deployment",verb="apply"}' in answer("/metrics")[1]
    running.send_signal(signal.SIGTERM)
    out, _ = running.communicate(timeout=10)
    assert running.returncode == 0
    lines = [json.loads(line) for line in out.splitlines()]
    told = [line for line in lines if line.get("deployment") == f"{namespace}/chat"]
    assert {line["reason"] for line in told} >= {"Created", "Promoted"}
    assert all(line["message"] for line in told)
    assert not [line for line in lines if line["level"] in {"warning", "error"}]
