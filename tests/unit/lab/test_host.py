import os
import subprocess
from pathlib import Path

import pytest

from tests.lab import host
from tests.lab.host import HostError


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a machine without any program."""
    monkeypatch.setattr(host, "_SBIN", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_what_is_missing_is_named_as_the_distribution_names_it(bare: Path) -> None:
    (bare / "openssl").touch(mode=0o755)
    assert host.missing_packages(node=False) == ["iproute2", "util-linux"]


@pytest.mark.usefixtures("bare")
def test_a_node_needs_more_than_a_control_plane() -> None:
    assert set(host.missing_packages(node=True)) - set(host.missing_packages(node=False)) >= {"runc", "mmdebstrap", "nftables"}


@pytest.mark.usefixtures("bare")
def test_an_ordinary_user_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(HostError, match="the lab needs: apt-get install iproute2 openssl util-linux"):
        host.ensure_packages(node=False)


def test_root_gets_the_packages_installed(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (bare / "apt-get").touch(mode=0o755)
    ran: list[list[str]] = []

    def run(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        ran.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    host.ensure_packages(node=False)
    assert [command[1] for command in ran] == ["update", "install"]
    assert ran[1][-3:] == ["iproute2", "openssl", "util-linux"]


def test_a_failed_installation_says_what_was_wanted_and_why_it_failed(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (bare / "apt-get").write_text("#!/bin/sh\necho no route to any mirror >&2\nexit 100\n")
    (bare / "apt-get").chmod(0o755)
    with pytest.raises(HostError, match=r"apt-get install iproute2 .*apt-get update failed: no route to any mirror"):
        host.ensure_packages(node=False)


def test_the_full_mode_tells_ordinary_users_their_other_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(HostError, match=r"--mode control-plane.*CLUSTER=kind"):
        host.require_root()
