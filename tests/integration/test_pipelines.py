"""What the documentation gives to people and pipelines, run as it stands there: the tutorial, scripts of CI systems, a policy."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_operator.core import kinds
from tests.fakes.objects import llm_deployment
from tests.integration.server import Server
from tests.lab.desk import ROOT, Desk
from tests.lab.wait import until

TUTORIAL = (ROOT / "docs/tutorials/promote-a-prompt.md").read_text()
CI = ROOT / "examples/ci"
POLICY = ROOT / "examples/policies/ci-verbs-only.yaml"
STEPS = {"config": {"steps": [{"weightPercent": 10}, {"approval": {}}, {"weightPercent": 50}]}}
Object = dict[str, Any]

pytestmark = pytest.mark.timeout(600)


class Office(Desk):
    """A desk of somebody who works on prompts."""

    def write(self, name: str, words: str) -> None:
        """Write the manifest chat.yaml of a deployment with a prompt."""
        manifest = llm_deployment(name, "", prompt={"inline": {"system": words}}, rollout=STEPS)
        (self.folder / "chat.yaml").write_text(
            yaml.safe_dump({**{key: manifest[key] for key in ("apiVersion", "kind", "spec")}, "metadata": {"name": name}})
        )


@pytest.fixture
def desk(server: Server, namespace: str, tmp_path: Path) -> Office:
    return Office(tmp_path, namespace, server.lab.kubeconfig)


def test_the_tutorial_does_what_it_says(desk: Office) -> None:
    desk.follow(TUTORIAL, "chat")
    desk.bash("kubectl delete llm chat --wait=false")


def steps(job: Object) -> dict[str, str]:
    """Return the scripts of a job by the name of their step, for a deployment of another name."""
    return {each["name"]: each["run"].replace("chat chat.yaml", "gh chat.yaml") for each in job["steps"] if "name" in each}


def test_a_github_workflow_promotes_what_was_approved(desk: Office) -> None:
    jobs = yaml.safe_load((CI / "github.yml").read_text())["jobs"]
    run = {name: steps(job) for name, job in jobs.items()}
    desk.write("gh", "Be brief.")
    first = desk.bash(run["canary"]["Apply and follow"], GITHUB_OUTPUT=str(desk.folder / "out"))
    assert first.returncode == 0, first.stderr
    desk.write("gh", "Be exact.")
    canary = desk.bash(run["canary"]["Apply and follow"], GITHUB_OUTPUT=str(desk.folder / "out"))
    assert canary.returncode == 0, canary.stderr
    assert (desk.folder / "out").read_text().splitlines() == ["code=0", "code=5"]
    assert "code == '5'" in jobs["production"]["if"]
    production = desk.bash(run["production"]["Approve and follow"])
    assert production.returncode == 0, production.stderr


def test_a_gitlab_pipeline_stops_at_an_approval_and_goes_on_by_hand(desk: Office) -> None:
    jobs = yaml.safe_load((CI / "gitlab.yml").read_text())
    script = {name: "\n".join(jobs[name]["script"]).replace("chat chat.yaml", "gl chat.yaml") for name in ("canary", "production")}
    desk.write("gl", "Be brief.")
    assert desk.bash(script["canary"]).returncode == 0
    desk.write("gl", "Be exact.")
    assert [desk.bash(script["canary"]).returncode] == jobs["canary"]["allow_failure"]["exit_codes"]
    assert jobs["production"]["when"] == "manual"
    assert desk.bash(script["production"]).returncode == 0


def test_what_nobody_watches_any_more_gets_no_requests(server: Server, namespace: str, desk: Office) -> None:
    desk.write("late", "Be brief.")
    assert desk.bash("examples/ci/promote.sh late chat.yaml").returncode == 0
    stable = server.status(namespace, "late")["stable"]["revision"]
    desk.write("late", "Be exact.")
    manifest = yaml.safe_load((desk.folder / "chat.yaml").read_text())
    manifest["spec"]["rollout"] = {"config": {"steps": [{"weightPercent": 10, "minDuration": "1h"}]}}
    (desk.folder / "chat.yaml").write_text(yaml.safe_dump(manifest))
    done = desk.bash("examples/ci/promote.sh late chat.yaml", TIMEOUT="8s")
    assert done.returncode == 3, done.stderr
    until(lambda: server.status(namespace, "late")["rollout"]["state"] == "Aborted", timeout_s=30, what="aborted")
    assert server.status(namespace, "late")["stable"]["revision"] == stable


@pytest.fixture
def pipeline(server: Server, namespace: str, desk: Office, tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Return a runner of scripts under the account of the policy's example."""
    text = POLICY.read_text().replace("namespace: default", f"namespace: {namespace}")
    (tmp_path / "policy.yaml").write_text(text)
    applied = desk.bash("kubectl apply -f policy.yaml")
    assert applied.returncode == 0, applied.stderr
    config = json.loads(server.lab.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": desk.bash("kubectl create token rollout-ci").stdout.strip()}
    (tmp_path / "its").mkdir()
    (tmp_path / "its.kubeconfig").write_text(json.dumps(config))
    return Desk(tmp_path / "its", namespace, tmp_path / "its.kubeconfig").bash


def test_a_pipelines_account_may_ask_for_verbs_and_change_nothing(
    server: Server, namespace: str, desk: Office, pipeline: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    desk.write("held", "Be brief.")
    assert desk.bash("examples/ci/promote.sh held chat.yaml").returncode == 0

    def refused(command: str) -> str:
        done = pipeline(command)
        return done.stderr if done.returncode else ""

    patch = """kubectl patch llm held --type=merge --patch '{"spec":{"replicas":3}}'"""
    # Only as a question as long as the policy may not be in force yet.
    until(lambda: "change nothing of the spec" in refused(f"{patch} --dry-run=server"), timeout_s=60, what="the policy")
    assert "change nothing of the spec" in refused(patch)
    assert "no other annotation" in refused("kubectl annotate llm held a=b")
    assert "neither labels" in refused("kubectl label llm held a=b")
    asked = pipeline("kubectl llm refresh held --timeout 60s")
    assert asked.returncode == 0, asked.stderr
    assert server.status(namespace, "held")["actions"][-1]["outcome"] == "Done"
    assert server.must(kinds.LLM_DEPLOYMENT, namespace, "held")["spec"]["replicas"] == 1
    desk.bash("kubectl delete -f policy.yaml --wait=false")
