"""What is believed of a resolver Job, and what is made of what it says."""

import json
from typing import Any

import pytest

from llm_operator.core import names
from llm_operator.core.asking import answer_of
from llm_operator.core.canonical import identity
from llm_operator.core.observed import Children, Obj, Observed
from llm_operator.core.references import References
from llm_operator.core.resolver import Model, Waiting, resolve_model
from llm_operator.core.validate import read_spec
from llm_operator.core.world import sort
from tests.unit.core.builders import MODEL_DIGEST, NOW, SOURCE, UID, make_config, make_deployment, owner_reference

JOB_NAME = names.resolve_job("chat", identity({"source": SOURCE}))
GOOD = {"exitCode": 0, "message": json.dumps({"digest": MODEL_DIGEST, "bytes": 10, "files": 2})}


def make_job(owner: str = UID, **condition: Any) -> Obj:
    return {
        "metadata": {"name": JOB_NAME, "uid": "job", "ownerReferences": [owner_reference("LLMDeployment", "chat", owner)]},
        "status": {"conditions": [{"status": "True", **condition}] if condition else []},
    }


def make_job_pod(ended: Obj | None = None, *, job: str = "job", **status: Any) -> Obj:
    state = {"terminated": ended} if ended else {"running": {}}
    return {
        "metadata": {"name": "p", "uid": "p", "ownerReferences": [owner_reference("Job", JOB_NAME, job)]},
        "status": {"containerStatuses": [{"name": "resolve", "state": state}], **status},
    }


def test_only_the_resolver_s_own_end_is_an_answer() -> None:
    pod = make_job_pod()
    mesh = {"name": "mesh", "state": {"terminated": {"exitCode": 0}}}
    pod["status"]["containerStatuses"] = [mesh, {"name": "resolve", "state": {"terminated": GOOD}}]
    assert answer_of(make_job(), pod, SOURCE) == answer_of(make_job(), make_job_pod(GOOD), SOURCE)
    pod["status"]["containerStatuses"] = [mesh, {"name": "resolve", "state": {"running": {}}}]
    assert answer_of(make_job(), pod, SOURCE) is None


def resolve(job: Obj | None = None, *pods: Obj, references: References | None = None, status: Obj | None = None) -> Model:
    deployment = make_deployment(status=status or {})
    world = sort(Observed(deployment, children=Children(jobs=(job,) if job else ()), job_pods=pods))
    return resolve_model(world, read_spec(deployment), make_config(), references or References(()), NOW)


def waiting(model: Model) -> Waiting:
    assert isinstance(model.outcome, Waiting)
    return model.outcome


def test_the_answer_of_our_job_is_the_digest() -> None:
    references = References(())
    assert resolve(make_job(), make_job_pod(GOOD), references=references).outcome == MODEL_DIGEST
    assert references.entries() == [{"field": "spec.model.source", "requested": SOURCE, "digest": MODEL_DIGEST, "bytes": 10, "files": 2}]


def test_a_pod_of_another_job_is_not_believed() -> None:
    assert waiting(resolve(make_job(), make_job_pod(GOOD, job="other"))).reason == "Resolving"


def test_a_job_without_our_uid_is_not_believed() -> None:
    stripped = make_job()
    stripped["metadata"] |= {"ownerReferences": [], "managedFields": [{"manager": names.FIELD_MANAGER, "operation": "Apply"}]}
    assert waiting(resolve(stripped, make_job_pod(GOOD))).reason == "Resolving"


@pytest.mark.parametrize("size", [-1, True, "10", 2**60, None, 1.5])
def test_sizes_that_are_none_are_left_out(size: object) -> None:
    references = References(())
    message = json.dumps({"digest": MODEL_DIGEST, "bytes": size, "files": size})
    resolve(make_job(), make_job_pod({"exitCode": 0, "message": message}), references=references)
    assert references.entries() == [{"field": "spec.model.source", "requested": SOURCE, "digest": MODEL_DIGEST}]


@pytest.mark.parametrize(
    ("ended", "reason", "words"),
    [
        ({"exitCode": 1, "message": json.dumps({"error": {"reason": "SourceDenied", "message": "no"}})}, "SourceDenied", "no"),
        ({"exitCode": 1, "message": json.dumps({"error": {"reason": "not a word", "message": "no"}})}, "ResolverFailed", "no"),
        ({"exitCode": 1, "message": json.dumps({"error": "text"})}, "ResolverFailed", "exit code 1"),
        ({"exitCode": 1, "message": json.dumps({"error": {"reason": "SourceDenied"}})}, "ResolverFailed", "exit code 1"),
        ({"exitCode": 1, "message": json.dumps({"digest": MODEL_DIGEST})}, "ResolverFailed", "exit code 1"),
        ({"exitCode": 0, "message": json.dumps({"digest": "sha256:short"})}, "ResolverFailed", "sha256:short"),
        ({"exitCode": 0, "message": json.dumps({"digest": 3})}, "ResolverFailed", "exit code 0"),
        ({"exitCode": 0, "message": "[]"}, "ResolverFailed", "said: []"),
        ({"exitCode": 137, "reason": "OOMKilled"}, "ResolverFailed", "said: OOMKilled"),
        ({"exitCode": 1, "message": "Traceback"}, "ResolverFailed", "Traceback"),
        ({"exitCode": 1}, "ResolverFailed", "said: nothing"),
    ],
)
def test_whatever_else_a_pod_says_is_a_failure(ended: Obj, reason: str, words: str) -> None:
    told = waiting(resolve(make_job(), make_job_pod(ended)))
    assert (told.reason, told.stalled) == (reason, reason == "SourceDenied")
    assert words in told.message
    assert len(told.message) < 2048


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"type": "Failed", "message": "Job was active longer than specified deadline"}, "longer than specified deadline"),
        ({"type": "Failed", "reason": "DeadlineExceeded"}, "DeadlineExceeded"),
        ({"type": "Complete"}, "its pod is gone"),
    ],
)
def test_a_job_that_ended_without_a_pod_to_read_has_failed(condition: Obj, words: str) -> None:
    told = waiting(resolve(make_job(**condition)))
    assert told.reason == "ResolverFailed"
    assert words in told.message


def test_a_complete_job_whose_pod_still_looks_running_is_waited_for() -> None:
    assert waiting(resolve(make_job(type="Complete"), make_job_pod())).reason == "Resolving"


def test_a_resolver_that_cannot_start_says_why() -> None:
    pod = make_job_pod(conditions=[{"type": "PodScheduled", "status": "False", "message": "no room"}])
    assert waiting(resolve(make_job(), pod)).message == f"asking what {SOURCE} holds: no room"


def last_resolved(**fields: Any) -> Obj:
    told = {"type": "Resolved", "status": "False", "reason": "SourceDenied", "message": "no", "observedGeneration": 1, **fields}
    return {"conditions": [{"lastTransitionTime": "2026-11-22T11:00:00Z", **told}]}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "SourceDenied"),
        ({"observedGeneration": 0}, "Resolving"),
        ({"status": "Unknown"}, "Resolving"),
        ({"reason": "PromptMissing"}, "Resolving"),
    ],
)
def test_while_the_same_request_is_tried_again_its_last_failure_stays_what_is_said(fields: Obj, reason: str) -> None:
    told = waiting(resolve(status=last_resolved(**fields)))
    assert (told.reason, told.stalled) == (reason, reason == "SourceDenied")


def test_other_credentials_are_another_question() -> None:
    deployment = make_deployment()
    deployment["spec"]["model"]["credentials"] = {"secretName": "hub"}
    world = sort(Observed(deployment))
    (job,) = resolve_model(world, read_spec(deployment), make_config(), References(()), NOW).jobs
    assert job["metadata"]["name"] != JOB_NAME
