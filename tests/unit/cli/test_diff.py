"""`kubectl llm diff`: which fields, which class of change, which road."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_operator.cli import apiserver
from tests.fakes.objects import llm_deployment, llm_prompt
from tests.unit.cli.conftest import FakeKube, Object, Result

Run = Callable[..., Result]
Diff = Callable[..., Result]


@pytest.fixture
def diff(kube: FakeKube, run: Run, tmp_path: Path) -> Diff:
    """Return a runner that compares what is live with the same under other fields of its spec."""
    manifest = {name: value for name, value in llm_deployment().items() if name in {"apiVersion", "kind", "metadata", "spec"}}
    kube.live = {**apiserver.defaulted(copy.deepcopy(manifest)), "metadata": kube.live["metadata"], "status": {}}

    def compare(*more: Object, output: str = "json", **spec: Any) -> Result:
        wanted = {**manifest, "metadata": {"name": "chat"}, "spec": {**manifest["spec"], **spec}}
        (tmp_path / "x.yaml").write_text(yaml.safe_dump_all([wanted, *more]))
        return run("diff", "chat", "-f", str(tmp_path / "x.yaml"), "-o", output)

    return compare


TRIED = {"engine": {"steps": [{"weightPercent": 5}, {"approval": {}}]}}
COPIED = {"engine": {"steps": [{"shadow": {"samplePercent": 10}, "minDuration": "1m"}, {"weightPercent": 5}]}}
STEPS = {"config": {"steps": [{"weightPercent": 5}, {"approval": {}}, {"weightPercent": 50}]}}


@pytest.mark.parametrize(
    ("spec", "diff_class", "road", "fields"),
    [
        ({}, "None", "nothing changes", []),
        ({"replicas": 2}, "None", "no other revision", ["spec.replicas"]),
        ({"engine": {"startup": {"timeout": "30m"}}}, "None", "no other revision", ["spec.engine.startup.timeout"]),
        ({"prompt": {"inline": {"system": "Be brief."}}}, "Config", "for every request at once", ["spec.prompt"]),
        ({"limits": {"maxConcurrency": 7}}, "Config", "for every request at once", ["spec.limits.maxConcurrency"]),
        ({"limits": {"maxConcurrency": 7}, "rollout": STEPS}, "Config", "by steps: 5%, approval, 50%", None),
        ({"engine": {"maxModelLen": 1024}}, "Engine", "one up and one down; never more than 2", ["spec.engine.maxModelLen"]),
        (
            {"engine": {"maxModelLen": 1024}, "rollout": TRIED},
            "Engine",
            "one new pod by steps: 5%, approval; then one up and one down; never more than 2",
            None,
        ),
        ({"engine": {"maxModelLen": 1024}, "rollout": COPIED}, "Engine", "one new pod by steps: copies of 10%, 5%; then", None),
        (
            {"engine": {"maxModelLen": 1024}, "rollout": {**TRIED, "capacity": {"mode": "Replace"}}},
            "Engine",
            "in place of an old one",
            None,
        ),
        (
            {"engine": {"maxModelLen": 1024}, "replicas": 2, "rollout": {**TRIED, "capacity": {"mode": "Replace"}}},
            "Engine",
            "never more than 2",
            None,
        ),
        (
            {"engine": {"maxModelLen": 1024}, "replicas": 2, "rollout": {**TRIED, "capacity": {"mode": "Borrow"}}},
            "Engine",
            "never more than 2",
            None,
        ),
        (
            {"engine": {"maxModelLen": 1024}, "rollout": {"capacity": {"mode": "Borrow"}}},
            "Engine",
            "none: Borrow never takes the only replica",
            None,
        ),
        ({"model": {"source": "s3://models/other"}}, "Engine", "one up and one down", ["spec.model.source"]),
        ({"engine": {"profile": "other"}}, "Engine", "one up and one down", ["spec.engine.profile"]),
        ({"engine": {"maxModelLen": 1024}, "rollout": {"capacity": {"mode": "Replace"}}}, "Engine", "never more than 1", None),
    ],
)
def test_a_change_has_a_class_and_a_road(diff: Diff, spec: Object, diff_class: str, road: str, fields: list[str] | None) -> None:
    done = diff(**spec)
    assert (done.code, done.json["diffClass"]) == (0, diff_class), done.err
    assert road in done.json["road"]
    if fields is not None:
        assert [each["field"] for each in done.json["changes"]] == fields


def test_people_get_a_table(diff: Diff) -> None:
    shown = diff(output="text", replicas=2)
    assert shown.out.splitlines()[0] == "None: no other revision: it counts from the next look on"
    assert "spec.replicas  1       2" in shown.out


def prompt(system: str) -> Object:
    return {**llm_prompt(), "metadata": {"name": "support"}, "spec": {"system": system}}


def test_a_prompt_is_taken_from_the_files_or_from_the_cluster(kube: FakeKube, diff: Diff) -> None:
    kube.live["spec"]["prompt"] = {"ref": {"name": "support"}, "updatePolicy": "Notify"}
    kube.prompts["support"] = prompt("Be brief.")
    ref = {"ref": {"name": "support"}}
    assert diff(prompt=ref).json["diffClass"] == "None"
    told = diff(prompt("Be exact."), prompt=ref).json
    assert (told["diffClass"], told["changes"]) == (
        "Config",
        [{"field": "LLMPrompt.spec.system", "before": "Be brief.", "after": "Be exact."}],
    )


def test_a_prompt_that_may_not_be_read_is_not_called_missing(kube: FakeKube, diff: Diff) -> None:
    kube.forbidden = True
    done = diff(prompt={"ref": {"name": "support"}})
    assert (done.code, "is forbidden" in done.err, "create it" in done.err) == (1, True, False)


def test_what_cannot_be_compared_is_said(kube: FakeKube, diff: Diff, run: Run, tmp_path: Path) -> None:
    missing = diff(prompt={"ref": {"name": "nobody"}})
    assert (missing.code, "nobody" in missing.err) == (7, True)
    (tmp_path / "y.yaml").write_text("{}")
    other = run("diff", "chat", "-f", str(tmp_path / "y.yaml"))
    assert other.code == 1
    (tmp_path / "y.yaml").write_text(yaml.safe_dump({**kube.live, "metadata": {"name": "else"}, "status": {}}))
    other = run("diff", "chat", "-f", str(tmp_path / "y.yaml"))
    assert (other.code, "there are: else" in other.err) == (1, True)
