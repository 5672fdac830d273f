"""What the demo says before it starts anything, where it cannot run."""

from pathlib import Path

import pytest

from tests.lab import product
from tests.lab.demo import place
from tests.lab.demo.screen import Screen


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a machine with no program but those put into this folder."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def _put(folder: Path, name: str, does: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{does}\n")
    (folder / name).chmod(0o755)


def test_kind_without_docker_says_what_is_missing(tools: Path) -> None:
    _put(tools, "kubectl", "exit 0")
    with pytest.raises(SystemExit, match=r"^CLUSTER=kind needs docker, kind on PATH$"):
        place.in_kind(Screen())


def test_kind_without_a_docker_engine_says_so(tools: Path) -> None:
    for name in ("kind", "kubectl"):
        _put(tools, name, "exit 0")
    _put(tools, "docker", "exit 1")
    with pytest.raises(SystemExit, match="needs a docker engine, and `docker info` reaches none"):
        place.in_kind(Screen())


@pytest.mark.usefixtures("tools")
def test_a_cluster_of_ones_own_needs_a_registry_and_every_image_in_it() -> None:
    with pytest.raises(SystemExit) as said:
        place.in_current(Screen(), "", "")
    for image in ("llm-operator:dev", "llm-sidecar:dev", "llm-fetcher:dev", "vllm-cpu:0.32.0", "seaweedfs:dev"):
        assert f".tar docker://REGISTRY/{image}\n" in str(said.value)


@pytest.mark.usefixtures("tools")
def test_a_cluster_of_ones_own_needs_kubectl() -> None:
    with pytest.raises(SystemExit, match=r"^CLUSTER=current needs kubectl on PATH$"):
        place.in_current(Screen(), "registry.example.com/llm", "")


def test_which_cluster_it_is_is_said_before_anything_is_done_to_it(tools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _put(tools, "kubectl", '[ "$1 $2" = "config current-context" ] || { echo no further >&2; exit 1; }; echo production')
    _put(tools, "helm", "exit 1")
    with pytest.raises(product.ProductError, match="no further"):
        place.in_current(Screen(), "registry.example.com/llm", "")
    assert "happens in the cluster of context 'production', in the namespaces llm-system and llm-demo" in capsys.readouterr().out
