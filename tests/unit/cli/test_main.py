"""The other commands, the flags all have, and how fast it starts."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import yaml

from llm_operator.cli import __main__ as entry
from llm_operator.cli import main
from llm_operator.cli.exits import CliError, NoAnswerError
from llm_operator.cli.kube import ConflictError, ForbiddenError, Kube, NotFoundError
from tests.unit.cli.conftest import OLD, FakeKube, Object, Result, becomes, nothing, ready

Run = Callable[..., Result]

SLOW = {"aiohttp", "asyncio", "kopf", "kubernetes", "msgspec", "numpy", "pydantic", "rich", "yaml"}


def test_nothing_slow_is_imported_before_it_is_needed() -> None:
    code = "import json, sys, llm_operator.cli.main; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "operator"}
    )
    assert SLOW & set(json.loads(done.stdout)) == set()


def test_the_status_says_everything_a_user_has_to_know(kube: FakeKube, run: Run) -> None:
    kube.live["status"] = ready(
        OLD,
        canary={"revision": "b", "engine": "f", "ready": 0, "replicas": 1, "diffClass": "Engine"},
        resolutions=[{"field": "spec.model.source", "requested": "s3://models/[tiny]", "digest": "sha256:" + "a" * 64}],
        actions=[{"id": "gh-1", "verb": "refresh", "outcome": "Done", "message": "Nothing to refresh", "at": "2026-11-22T12:00:00Z"}],
        table={"generation": 3, "acked": 1, "of": 2},
    )
    kube.live["metadata"]["generation"] = 2
    done = run("status", "chat")
    assert done.code == 0
    for words in (
        "team/chat",
        "Ready (Ready): all is well",
        "The spec is newer",
        "canary",
        "Engine",
        "s3://models/[tiny]",
        "gh-1",
        "1 of 2",
    ):
        assert words in done.out, words


def test_a_deployment_nobody_looked_at_is_said_to_be_one(kube: FakeKube, run: Run) -> None:
    del kube.live["status"]
    assert "No operator has looked at it yet" in run("status", "chat").out


def test_a_status_with_nothing_in_it_yet_is_shown_too(kube: FakeKube, run: Run) -> None:
    kube.live["status"] = {"phase": "Pending", "reason": "Resolving", "message": "asking"}
    assert "Pending (Resolving): asking" in run("status", "chat").out


def left(_live: Object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("form", ["text", "json"])
def test_where_it_stands_is_written_to_a_pipe_whenever_it_changes(kube: FakeKube, run: Run, form: str) -> None:
    kube.then = [nothing, nothing, becomes(**ready(OLD, message="a change")), nothing, left]
    done = run("status", "chat", "--watch", "-o", form)
    assert (done.code, done.out.count("all is well"), done.out.count("a change")) == (0, 1, 1)
    assert done.out.index("all is well") < done.out.index("a change")


def test_the_status_as_json_is_one_object(run: Run) -> None:
    told = run("status", "chat", "--output=json").json
    assert (told["name"], told["namespace"], told["status"]["phase"]) == ("chat", "team", "Ready")


def test_a_name_that_is_not_there_is_the_users_mistake(run: Run) -> None:
    done = run("status", "other", "-o", "json")
    assert (done.code, done.json["exitCode"]) == (1, 1)
    assert "(NotFound)" in done.err


OFFERED = {
    "engineProfiles": {"vllm": {"image": "example.org/vllm:1", "version": "1"}},
    "acceleratorProfiles": {"l4": {"resource": "nvidia.com/gpu", "memory": "24Gi", "nodeSelector": {"gpu": "l4"}}, "cpu": {}},
}


@pytest.mark.parametrize("place", ["", "llm-system"])
def test_profiles_are_found_here_or_where_the_operator_usually_is(kube: FakeKube, run: Run, place: str) -> None:
    kube.maps[place] = {"data": {"profiles.yaml": yaml.safe_dump(OFFERED)}}
    done = run("profiles")
    assert all(word in done.out for word in ("vllm", "example.org/vllm:1", "nvidia.com/gpu", "24Gi", "gpu=l4", "none"))
    assert run("profiles", "-o", "json").json == OFFERED


def test_profiles_nobody_publishes_are_asked_for_by_namespace(kube: FakeKube, run: Run) -> None:
    done = run("profiles")
    assert done.code == 1
    assert "--operator-namespace" in done.err
    kube.maps["ops"] = {"data": {"profiles.yaml": yaml.safe_dump(OFFERED)}}
    assert run("profiles", "--operator-namespace", "ops").code == 0


def test_flags_of_kubectl_are_handed_on(kube: FakeKube, run: Run) -> None:
    run("status", "chat", "-n", "team", "--context", "prod", "--as", "ci", "--kubeconfig=/k", "--cluster=c", "--user=u")
    assert set(kube.flags) == {"--namespace=team", "--context=prod", "--as=ci", "--kubeconfig=/k", "--cluster=c", "--user=u"}


@pytest.mark.usefixtures("run")
def test_short_flags_may_be_joined_to_their_values_as_kubectl_allows(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kubectl-llm", "status", "chat", "-o=json", "-n=te=am"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["name"] == "chat"
    assert kube.flags == ("--namespace=te=am",)


def test_wrong_use_ends_with_the_exit_code_of_the_contract(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["kubectl-llm", "explode"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 1
    assert "explode" in capsys.readouterr().err


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object, **_options: object) -> None:
        raise click.Abort

    monkeypatch.setattr(main.cli, "main", interrupted)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 1


def test_without_click_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llm_operator.cli.main", None)
    with pytest.raises(SystemExit, match=r"pip install 'llm-operator\[cli\]'"):
        entry.main()


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a maker of a kubectl that notes its arguments and then does what a line of shell says."""

    def make(line: str) -> Path:
        program, noted = tmp_path / "kubectl", tmp_path / "noted"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {noted}\n{line}\n')
        program.chmod(0o755)
        monkeypatch.setenv("KUBECTL", str(program))
        return noted

    return make


def test_kubectl_is_asked_for_json_and_told_what_it_was_read_as(kubectl: Callable[[str], Path]) -> None:
    noted = kubectl("echo '{\"metadata\": {}}'")
    kube = Kube(("--namespace=team",))
    assert kube.deployment("chat") == {"metadata": {}}
    assert noted.read_text().split() == ["--namespace=team", "get", "llmdeployments.llmops.dev", "chat", "--output=json"]
    kube.annotate("chat", {"a": "b"}, "7")
    assert '--patch={"metadata": {"annotations": {"a": "b"}, "resourceVersion": "7"}}' in noted.read_text()
    kube.config_map("profiles", "ops")
    assert noted.read_text().split()[-1] == "--namespace=ops"


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("echo 'Error from server (NotFound): x' >&2; exit 1", NotFoundError, "NotFound"),
        ("echo 'Error from server (Forbidden): x' >&2; exit 1", ForbiddenError, "Forbidden"),
        ("echo 'Error from server (Conflict): x' >&2; exit 1", ConflictError, "Conflict"),
        ("echo 'Unable to connect to the server: EOF' >&2; exit 1", NoAnswerError, "Unable to connect"),
        ("echo 'Error from server: etcdserver: leader changed' >&2; exit 1", NoAnswerError, "leader changed"),
        ("exit 3", CliError, "exit code 3"),
        ("echo hello", CliError, "not JSON"),
    ],
)
def test_what_kubectl_says_is_passed_on(kubectl: Callable[[str], Path], line: str, kind: type[CliError], words: str) -> None:
    kubectl(line)
    with pytest.raises(kind, match=words):
        Kube().deployment("chat")


@pytest.mark.parametrize(
    "words",
    ["error: You must be logged in to the server (Unauthorized)", 'The LLMDeployment "chat" is invalid: x', "error: unknown flag: --as-if"],
)
def test_what_asking_again_does_not_change_is_no_missing_answer(kubectl: Callable[[str], Path], words: str) -> None:
    kubectl(f"echo '{words}' >&2; exit 1")
    with pytest.raises(CliError) as raised:
        Kube().deployment("chat")
    assert not isinstance(raised.value, NoAnswerError)


def test_a_kubectl_has_no_more_time_than_is_left(kubectl: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl("exec sleep 30")
    monkeypatch.setattr("llm_operator.cli.kube._LEAST_S", 0.1)
    with pytest.raises(NoAnswerError, match=r"did not answer within 0\.3 s"):
        Kube().within(lambda: 0.3).deployment("chat")


def test_without_kubectl_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECTL", "/nowhere/kubectl")
    with pytest.raises(CliError, match="kubectl is not on the PATH"):
        Kube().deployment("chat")


def test_a_kubectl_that_hangs_is_given_up(kubectl: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl("exec sleep 30")
    monkeypatch.setattr("llm_operator.cli.kube._TIMEOUT_S", 0.2)
    with pytest.raises(CliError, match=r"did not answer within 0\.2 s"):
        Kube().deployment("chat")
