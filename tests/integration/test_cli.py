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


STEPS = {"config": {"steps": [{"weightPercent": 10}, {"approval": {}}, {"weightPercent": 50, "minDuration": "1h"}]}}


@pytest.fixture(scope="module")
def ramp(server: Server, namespace: str) -> str:
    """Return the name of a deployment whose prompts are let in by steps."""
    server.create(llm_deployment("ramp", namespace, rollout=STEPS, replicas=2), namespace)
    until(lambda: condition(server.status(namespace, "ramp"), "Ready").get("status") == "True", timeout_s=60, what="ramp ready")
    return "ramp"


def says(server: Server, namespace: str, words: str) -> str:
    """Write another prompt and return the revision it becomes, as the command line says it."""
    server.merge(kinds.LLM_DEPLOYMENT, namespace, "ramp", {"spec": {"prompt": {"inline": {"system": words}}}})
    done = llm("wait", "ramp", f"--namespace={namespace}", "--for=resolved", "--timeout=60s")
    assert done.code == 0, done.err
    return done.out.strip()


def test_a_rollout_is_followed_approved_and_promoted(server: Server, namespace: str, ramp: str) -> None:
    revision = says(server, namespace, "Be brief.")
    waits = ("wait", ramp, f"--namespace={namespace}", f"--revision={revision}")
    assert llm(*waits, "--timeout=90s").code == 5, "a step waits for an approval"
    assert "kubectl llm approve ramp" in llm("explain", ramp, f"--namespace={namespace}").out
    approved = llm("approve", ramp, f"--namespace={namespace}", f"--revision={revision}", "--wait", "--timeout=5s")
    assert approved.code == 3, "the next step takes an hour"
    promoted = llm("promote", ramp, f"--namespace={namespace}", f"--revision={revision}", "--wait", "--timeout=90s")
    assert promoted.code == 0, promoted.err
    assert llm(*waits).code == 0
    assert server.status(namespace, ramp)["stable"]["revision"] == revision
    shares = [each["weight"] for each in json.loads(llm("history", ramp, f"--namespace={namespace}", "-o=json").out)["history"]]
    assert shares == sorted(shares)
    assert shares[-1] == 100


def test_a_rollout_is_aborted_remembered_and_overtaken(server: Server, namespace: str, ramp: str) -> None:
    stable = server.status(namespace, ramp)["stable"]["revision"]
    revision = says(server, namespace, "Be rude.")
    for_it = (ramp, f"--namespace={namespace}", f"--revision={revision}")
    aborted = llm("abort", *for_it, "--wait", "--timeout=90s")
    assert aborted.code == 0, aborted.err
    assert llm("wait", *for_it, "--timeout=60s").code == 2
    assert llm("resume", *for_it).code == 7, "there is nothing to resume"
    newer = says(server, namespace, "Be kind.")
    assert llm("wait", *for_it).code == 4
    assert llm("abort", *for_it).code == 7, "it is late"
    assert server.status(namespace, ramp)["stable"]["revision"] == stable
    assert newer not in {stable, revision}


def test_a_difference_is_told_before_it_is_applied(server: Server, namespace: str, ramp: str, tmp_path: Path) -> None:
    live = server.must(kinds.LLM_DEPLOYMENT, namespace, ramp)
    wanted = {name: live[name] for name in ("apiVersion", "kind", "spec")} | {"metadata": {"name": ramp}}
    wanted["spec"]["prompt"] = {"inline": {"system": "Be exact."}}
    (tmp_path / "ramp.json").write_text(json.dumps(wanted))
    done = llm("diff", ramp, f"--namespace={namespace}", f"--filename={tmp_path / 'ramp.json'}", "-o=json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["diffClass"], [each["field"] for each in told["changes"]]) == ("Config", ["spec.prompt.inline.system"])
