"""`kubectl llm` as its users run it, through the real kubectl, against an operator at work."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from llm_operator.core import kinds
from tests.fakes.objects import llm_deployment
from tests.integration.chart.kit import Result, run
from tests.integration.conftest import SYSTEM
from tests.integration.server import Server, condition
from tests.lab.wait import until

Object = dict[str, Any]

ENVIRONMENT = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def chat(server: Server, namespace: str) -> str:
    server.create(llm_deployment("cli", namespace), namespace)
    until(lambda: condition(server.status(namespace, "cli"), "Ready").get("status") == "True", timeout_s=60, what="cli ready")
    return "cli"


def llm(*arguments: str) -> Result:
    """Run it as a kubectl plugin."""
    return run(["env", *(f"{name}={value}" for name, value in ENVIRONMENT.items()), "kubectl", "llm", *arguments])


def test_a_refresh_is_asked_for_answered_and_followed(server: Server, namespace: str, chat: str) -> None:
    done = llm("refresh", chat, "--namespace", namespace, "--wait", "--timeout", "90s", "--output", "json", "--id", "it-1")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert (answer["id"], answer["outcome"], answer["exitCode"]) == ("it-1", "Done", 0)
    assert answer["message"].startswith("Nothing to refresh")
    live = server.must(kinds.LLM_DEPLOYMENT, namespace, chat)
    assert [each["id"] for each in live["status"]["actions"]] == ["it-1"]
    manager = next(each for each in live["metadata"]["managedFields"] if each["manager"] == "kubectl-llm")
    assert "f:metadata" in manager["fieldsV1"]
    assert set(manager["fieldsV1"]) == {"f:metadata"}, "it writes an annotation and nothing else"


def test_a_refresh_under_the_same_id_is_not_done_again(server: Server, namespace: str, chat: str) -> None:
    first = llm("refresh", chat, f"--namespace={namespace}", "--id=it-2", "-o", "json")
    again = llm("refresh", chat, f"--namespace={namespace}", "--id=it-2", "-o", "json")
    assert first.code == again.code == 0, again.err
    assert json.loads(first.out) == json.loads(again.out)
    assert [each["id"] for each in server.status(namespace, chat)["actions"]].count("it-2") == 1


def test_a_stale_revision_is_rejected_with_both(namespace: str, server: Server, chat: str) -> None:
    done = llm("refresh", chat, f"--namespace={namespace}", "--revision=aaaaaaaaaa")
    assert done.code == 7
    assert "aaaaaaaaaa" in done.out
    assert server.status(namespace, chat)["latestRevision"] in done.out


def test_the_status_is_shown_and_the_profiles_are_listed(namespace: str, chat: str) -> None:
    shown = llm("status", f"llm/{chat}", f"--namespace={namespace}")
    assert shown.code == 0, shown.err
    assert "RefreshAvailable" in shown.out
    told = json.loads(llm("status", chat, f"--namespace={namespace}", "-o=json").out)
    assert told["status"]["phase"] == "Ready"
    offered = llm("profiles", f"--operator-namespace={SYSTEM}", "-o=json")
    assert offered.code == 0, offered.err
    assert set(json.loads(offered.out)) == {"acceleratorProfiles", "engineProfiles"}


def test_what_is_not_there_is_wrong_use(namespace: str) -> None:
    done = llm("status", "nobody", f"--namespace={namespace}")
    assert done.code == 1
    assert "not found" in done.err
