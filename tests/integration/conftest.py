"""A real API server, a pretended node, and operators under the account and rights the chart gives them."""

import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_operator.api.config import OperatorConfig
from tests.fakes.objects import operator_config
from tests.integration.chart.kit import establish, install, kubectl, run
from tests.integration.operating import RunningOperator
from tests.integration.server import Server
from tests.integration.stage import PLACES, Stage
from tests.lab.cluster import INSIDE, Lab
from tests.lab.wait import until

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "integration-system"
RELEASE = "integration"
IMAGES = ["example/sidecar", "example/fetcher", "example/vllm", "lab.local/llm-sidecar", "lab.local/llm-fetcher", "lab.local/vllm-cpu"]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def lab() -> Lab:
    """Return the lab these tests run inside of."""
    if INSIDE not in os.environ:
        pytest.fail("these tests run inside a lab: make integration, or hack/with-lab control-plane .venv/bin/python -m pytest …")
    return Lab.current()


@pytest.fixture(scope="session")
def server(lab: Lab) -> Server:
    """Return the API server with the CRDs in it, as an administrator sees it."""
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        kubectl("apply", "--server-side", "--force-conflicts", f"--filename={path}")
    establish("llmdeployments.llmops.dev", "llmprompts.llmops.dev")
    return Server(lab)


@pytest.fixture(scope="session")
def stage(server: Server) -> Iterator[Stage]:
    """Return the pretended node."""
    server.lab.require_pod_addresses()
    running = Stage(str(server.lab.kubeconfig))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def account(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Install the chart for its account, rights and policies, and return a kubeconfig of that account."""
    until(lambda: not server.has_namespace(SYSTEM), timeout_s=60, what=f"{SYSTEM} of an earlier run gone")
    server.create_namespace(SYSTEM)
    install(RELEASE, SYSTEM, {"clusterWide": True, "admissionPolicy": {"extraImages": IMAGES}, "gateway": {"enabled": True}})
    yield str(kubeconfig_of(server, RELEASE, SYSTEM, tmp_path_factory.mktemp("account") / "kubeconfig"))
    run(["helm", "uninstall", RELEASE, "--namespace", SYSTEM])
    server.delete_namespace(SYSTEM)


@pytest.fixture
def own_roles(server: Server, account: str, tmp_path: Path) -> Iterator[Callable[[list[str]], str]]:
    """Return a maker of an account that has a Role in each of the given namespaces and no other rights."""
    assert account  # its release brings the CRDs
    release = system = f"{RELEASE}-roles"
    server.create_namespace(system)

    def make(namespaces: list[str]) -> str:
        install(release, system, {"namespaces": namespaces, "admissionPolicy": {"enabled": False}})
        return str(kubeconfig_of(server, release, system, tmp_path / "kubeconfig"))

    yield make
    run(["helm", "uninstall", release, "--namespace", system])
    server.delete_namespace(system)


def kubeconfig_of(server: Server, release: str, system: str, path: Path) -> Path:
    """Write a kubeconfig that speaks as the operator of a release."""
    labels = f"app.kubernetes.io/name=llm-operator,app.kubernetes.io/instance={release}"
    name = kubectl("--namespace", system, "get", "serviceaccount", f"--selector={labels}", "--output=name")
    token = kubectl("--namespace", system, "create", "token", name.strip().removeprefix("serviceaccount/"), "--duration=12h").strip()
    config: dict[str, Any] = json.loads(server.lab.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    path.write_text(json.dumps(config))
    return path


@pytest.fixture(scope="module")
def spaces(server: Server) -> Iterator[Callable[[], str]]:
    """Return a maker of namespaces that go with the module."""
    made = []

    def make() -> str:
        name = f"{PLACES}{os.getpid()}-{next(_numbers)}"
        server.create_namespace(name)
        path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        until(lambda: server.raw(path), timeout_s=30, what=f"the service account of {name}")
        made.append(name)
        return name

    yield make
    for name in filter(server.has_namespace, made):
        server.delete_namespace(name)


@pytest.fixture(scope="module")
def operators(account: str, stage: Stage) -> Iterator[Callable[[OperatorConfig], RunningOperator]]:
    """Return a starter of operators that stop with the module."""
    assert stage
    with ExitStack() as running:
        yield lambda config: running.enter_context(RunningOperator(config, account))


@pytest.fixture(scope="module")
def namespace(spaces: Callable[[], str], operators: Callable[[OperatorConfig], RunningOperator]) -> str:
    """Return a namespace that an operator with everyday settings looks after, shared by the module's tests."""
    name = spaces()
    operators(operator_config(namespaces=[name]))
    return name


def manifests(path: Path) -> list[dict[str, Any]]:
    """Return the manifests of a file."""
    return [each for each in yaml.safe_load_all(path.read_text()) if each]
