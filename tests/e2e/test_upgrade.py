"""An operator that would render every pod otherwise takes over what serves: it restarts nothing until it is told to. Stub engine.

Behind the tests that share the operator, since it is another one for a while. Twenty deployments with LLM_SOAK=1, else five.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import figures, kit, upgrading
from tests.e2e.manifests import SMALL, deployment
from tests.e2e.traffic import Traffic
from tests.lab.wait import until

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.alone, pytest.mark.timeout(900)]

NS = "llm-e2e"
NAMES = [f"live-{number}" for number in range(20 if figures.SOAK else 5)]


@pytest.fixture(scope="module")
def live(platform: None) -> Iterator[dict[str, dict[str, int]]]:  # noqa: ARG001  # the platform must be up first
    """Settled LLMDeployments of the operator that is there; their pods, with the restarts of each."""
    kit.apply(*(deployment(name, **SMALL) for name in NAMES), namespace=NS)
    for name in NAMES:
        kit.wait_settled(name, NS, timeout_s=300)
    yield {name: _pods(name) for name in NAMES}
    kit.kubectl("-n", NS, "delete", "llm", *NAMES, "--wait=true")


@pytest.fixture(scope="module")
def upgraded(live: dict[str, dict[str, int]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, int]]]:
    """The same under the other operator."""
    before = upgrading.running_image()
    upgrading.build_next(tmp_path_factory.mktemp("image") / "operator.tar")
    upgrading.run_operator(upgrading.IMAGE)
    yield live
    upgrading.run_operator(before)


def _pods(name: str) -> dict[str, int]:
    return {pod["metadata"]["uid"]: sum(kit.each_restart([pod])) for pod in kit.pods_of(name, NS)}


def _has_more(name: str) -> bool:
    return bool(kit.condition(kit.llm(name, NS), "RefreshAvailable").get("status") == "True")


def test_an_upgraded_operator_restarts_no_pod_and_says_that_it_would_make_others(upgraded: dict[str, dict[str, int]]) -> None:
    took = kit.seconds_until(lambda: all(map(_has_more, NAMES)), timeout_s=120, what="RefreshAvailable on all")
    for name in NAMES:
        kit.wait_settled(name, NS)
    changed = [name for name in NAMES if _pods(name) != upgraded[name]]
    figures.record("upgrade", deployments=len(NAMES), restarted=len(changed), refresh_available_s=took)
    assert changed == []
    assert {restarts for pods in upgraded.values() for restarts in pods.values()} == {0}


def test_refresh_rolls_one_of_them_under_load_and_leaves_the_others(upgraded: dict[str, dict[str, int]]) -> None:
    name, *others = NAMES
    until(lambda: _has_more(name), timeout_s=120, what="RefreshAvailable")
    with Traffic(kit.address(name, NS), name, rps=5, streams=10) as traffic:
        print(_kubectl_llm("refresh", name, "-n", NS, "--wait"))  # noqa: T201  # what a user is told
        kit.wait_settled(name, NS)
        until(lambda: len(kit.items("deployments", NS, f"llmops.dev/deployment={name}")) == 1, timeout_s=120, what="one Deployment left")
    seen = traffic.seen
    figures.record("refresh", requests=seen.sent, streams=seen.streams, failed=len(seen.failures), declared=len(seen.declared))
    assert (seen.failures, seen.declared, seen.torn()) == ([], [], [])
    assert {pod["metadata"]["labels"].get(upgrading.LABEL) for pod in kit.pods_of(name, NS)} == {"next"}
    assert not _pods(name).keys() & upgraded[name].keys()
    assert not _has_more(name)
    assert {each: _pods(each) for each in others} == {each: upgraded[each] for each in others}


def _kubectl_llm(*words: str) -> str:
    command = [str(Path(sys.executable).with_name("kubectl-llm")), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, f"exit {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout
