from pathlib import Path

import pytest

from tests.lab.cli import main


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_LAB_DIR", str(tmp_path / "lab"))


def test_status_of_nothing_is_down_with_an_exit_code_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 3
    assert capsys.readouterr().out == "down\n"


def test_down_of_nothing_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down"]) == 0
    assert capsys.readouterr().out == "down: there was nothing\n"


@pytest.mark.parametrize("argv", [["exec", "--", "true"], ["kubectl", "get", "nodes"], ["stop", "etcd"], ["image", "x.tar"]])
def test_without_a_lab_commands_say_how_to_start_one(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 1
    assert "no lab is up" in capsys.readouterr().err


def test_exec_without_a_command_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exec", "--"]) == 1
    assert "the command is missing" in capsys.readouterr().err


def test_s3_needs_a_node_to_listen_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--mode", "control-plane", "--s3"]) == 1
    assert "--s3 needs the full mode" in capsys.readouterr().err


def test_the_log_of_an_ended_lab_is_still_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "lab" / "log.last" / "etcd.log"
    log.parent.mkdir(parents=True)
    log.write_text("first\nlast\n")
    assert main(["logs", "etcd", "--lines", "1"]) == 0
    assert capfd.readouterr().out == "last\n"
    assert main(["logs", "kubelet"]) == 1
    assert "there are etcd" in capfd.readouterr().err
