from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.state import Mode, Network, Ports, Settings, State


@given(
    st.sampled_from(["full", "control-plane"]),
    st.sampled_from(["netns", "userns", "loopback"]),
    st.integers(0, 100),
    st.booleans(),
    st.integers(1, 65535),
)
def test_settings_survive_being_written_down(mode: Mode, network: Network, number: int, flag: bool, port: int) -> None:
    settings = Settings(mode=mode, network=network, gpus=number, kwok_nodes=number, s3=flag, disk=not flag, ports=Ports(etcd=port))
    assert Settings.load(settings.dump()) == settings


def test_the_environment_names_the_lab_and_the_cache_holds_it_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLM_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("LLM_LAB_DIR", raising=False)
    assert State.current().root == tmp_path / "lab"
    monkeypatch.setenv("LLM_LAB_DIR", str(tmp_path / "other"))
    assert State.current().root == tmp_path / "other"


def test_labs_with_other_roots_have_other_names() -> None:
    assert State(Path("/a")).name != State(Path("/b")).name
    assert State(Path("/a")).name == State(Path("/a")).name


def test_simulated_pods_are_there_whenever_no_real_node_is() -> None:
    assert Settings(mode="control-plane").kwok
    assert not Settings(mode="full").kwok
    assert Settings(mode="full", kwok_nodes=1).kwok


def test_only_a_loopback_lab_has_no_pod_addresses() -> None:
    assert Settings(network="userns").has_pod_addresses
    assert not Settings(network="loopback").has_pod_addresses
