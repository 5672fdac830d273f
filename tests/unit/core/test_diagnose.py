"""What pods do, from the statuses kubelets write."""

from typing import Any

import pytest

from llm_operator.core import names
from llm_operator.core.diagnose import Diagnosis, accelerators, diagnose
from llm_operator.core.observed import Children, Obj, Observed, SidecarReport
from llm_operator.core.podstate import last_line
from llm_operator.core.world import sort
from tests.unit.core.builders import UID, make_deployment, make_pod, owner_reference

READY: dict[str, Any] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


def container(name: str = "engine", *, last: Obj | None = None, restarts: int = 0, image: str = "", **state: Any) -> Obj:
    found: Obj = {"name": name, "state": state, "restartCount": restarts, "image": image}
    return {**found, "lastState": {"terminated": last}} if last else found


def unschedulable(message: str | None) -> Obj:
    return {
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", **({"message": message} if message else {})}]
    }


def look(*pods: Obj, replicas: int = 1, deployment: Obj | None = None, report: SidecarReport | None = None) -> Diagnosis:
    children = Children(deployments=(deployment,) if deployment else ())
    reports = {pod["metadata"]["uid"]: report for pod in pods}
    return diagnose(sort(Observed(make_deployment(), children=children, pods=pods, reports=reports)), "engine1", replicas)


def engine_deployment(**conditions: str) -> Obj:
    told = [{"type": kind, "status": value.split()[0], "reason": value.split()[1]} for kind, value in conditions.items()]
    return {
        "metadata": {"name": "chat-engine1", "uid": "d", "ownerReferences": [owner_reference("LLMDeployment", "chat", UID)]},
        "spec": {"replicas": 1},
        "status": {"conditions": told},
    }


CRASH = {"exitCode": 1, "reason": "Error", "message": "loading\nCUDA out of memory\n\n"}
KILLED = {"exitCode": 137, "reason": "OOMKilled"}
CRASHED = "container engine ended with exit code 1 (Error)"


@pytest.mark.parametrize(
    ("status", "phase", "reason", "words"),
    [
        (
            unschedulable("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."),
            "WaitingForAccelerators",
            "Unschedulable",
            "2 more nvidia.com/gpu",
        ),
        (unschedulable("3 node(s) didn't match Pod's node affinity/selector"), "WaitingForAccelerators", "Unschedulable", "affinity"),
        (unschedulable("0/3 nodes are available: 3 Insufficient memory."), "Unschedulable", "Unschedulable", "a node with room"),
        (unschedulable(None), "Unschedulable", "Unschedulable", "the scheduler has found no node yet"),
        ({"initContainerStatuses": [container("fetch", running={})]}, "Fetching", "Fetching", "fetched"),
        (
            {"containerStatuses": [container(waiting={"reason": "PodInitializing"})]},
            "Starting",
            "PodInitializing",
            "images are being pulled",
        ),
        ({}, "Starting", "Scheduled", "images are being pulled"),
        (
            {"containerStatuses": [container(waiting={"reason": "ImagePullBackOff", "message": "not found"}, image="x/y:1")]},
            "PullingImage",
            "ImagePullBackOff",
            "image x/y:1 of container engine cannot be pulled: not found",
        ),
        (
            {"containerStatuses": [container(waiting={"reason": "CreateContainerConfigError", "message": "secret gone"})]},
            "Crashing",
            "CreateContainerConfigError",
            "container engine cannot be created: secret gone",
        ),
        (
            {"containerStatuses": [container(waiting={"reason": "CrashLoopBackOff"}, last=CRASH, restarts=2)]},
            "Crashing",
            "Error",
            f"{CRASHED}, 2 restarts; its last line: CUDA out of memory",
        ),
        (
            {"containerStatuses": [container(waiting={"reason": "CrashLoopBackOff"}, last=CRASH, restarts=1)]},
            "Crashing",
            "Error",
            ", 1 restart;",
        ),
        ({"containerStatuses": [container(terminated=KILLED)]}, "Crashing", "OOMKilled", "exit code 137 (OOMKilled)"),
        ({"containerStatuses": [container(terminated={"exitCode": 2})]}, "Crashing", "Error", "exit code 2 (Error)"),
        ({"containerStatuses": [container(terminated={"exitCode": 0, "reason": "Completed"})]}, "Crashing", "Completed", "exit code 0"),
        ({"initContainerStatuses": [container("fetch", terminated=CRASH)]}, "Crashing", "Error", "container fetch"),
        ({"initContainerStatuses": [container("fetch", terminated={"exitCode": 0})]}, "Starting", "Scheduled", "started"),
        ({"initContainerStatuses": [container("mesh-init", terminated={"exitCode": 0})]}, "Starting", "Scheduled", "started"),
        ({"initContainerStatuses": [container("mesh-init", terminated=CRASH)]}, "Crashing", "Error", "container mesh-init"),
        ({"phase": "Running", "containerStatuses": [container(running={})]}, "Loading", "Loading", "its sidecar does not answer"),
        ({"phase": "Running", "containerStatuses": [container(running={}, last=CRASH)]}, "Loading", "Loading", f"before that, {CRASHED}"),
    ],
)
def test_a_pod_that_is_not_ready_says_what_it_is_at(status: Obj, phase: str, reason: str, words: str) -> None:
    found = look(make_pod(**status))
    assert (found.phase, found.reason, found.pods, found.ready) == (phase, reason, 1, 0)
    assert found.message.startswith("0 of 1 pods ready; ")
    assert words in found.message


def test_weights_that_are_fetched_again_are_told_with_why_they_were_not_before() -> None:
    found = look(make_pod(initContainerStatuses=[container("fetch", running={}, last=CRASH)]))
    assert found.phase == "Fetching"
    assert "the weights are being fetched; before that, container fetch ended with exit code" in found.message


def test_an_init_container_that_failed_before_it_succeeded_is_no_crash() -> None:
    fetched = container("fetch", terminated={"exitCode": 0}, last=CRASH)
    assert look(make_pod(initContainerStatuses=[fetched])).phase == "Starting"


@pytest.mark.parametrize(("turned", "phase"), [("2026-11-22T12:00:05Z", "NotReady"), ("2026-11-22T11:59:00Z", "Loading")])
def test_an_engine_that_has_been_ready_is_not_said_to_load(turned: str, phase: str) -> None:
    engine = container(running={"startedAt": "2026-11-22T12:00:00Z"})
    unready = {"type": "Ready", "status": "False", "lastTransitionTime": turned}
    pod = make_pod(phase="Running", containerStatuses=[engine], conditions=[unready])
    found = look(pod, report=SidecarReport(reason="EngineUnreachable", error="connection refused"))
    assert found.phase == phase
    assert "EngineUnreachable: connection refused" in found.message


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (SidecarReport(reason="EngineStarting", error="connection refused"), "EngineStarting: connection refused"),
        (SidecarReport(reason="EngineStarting"), "the engine is not ready: EngineStarting"),
        (SidecarReport(), "the engine is not ready: loading"),
        (SidecarReport(ready=True), "the kubelet has not asked it yet"),
    ],
)
def test_a_loading_engine_is_told_in_the_words_of_its_sidecar(report: SidecarReport, words: str) -> None:
    assert words in look(make_pod(phase="Running", containerStatuses=[container(running={})]), report=report).message


def test_the_worst_pod_speaks_for_all() -> None:
    crashing = make_pod("b", containerStatuses=[container(waiting={"reason": "x"}, last=CRASH)])
    found = look(make_pod("a", **READY), make_pod("c"), crashing, replicas=3)
    assert (found.phase, found.pods, found.ready) == ("Crashing", 3, 1)
    assert found.message == f"1 of 3 pods ready; pod b: {CRASHED}; its last line: CUDA out of memory"


def test_missing_accelerators_are_counted_over_all_pods() -> None:
    waiting = [make_pod(name, **unschedulable("Insufficient nvidia.com/gpu")) for name in ("a", "b")]
    found = look(*waiting, replicas=2)
    assert found.unschedulable == "2 pods wait for 4 more nvidia.com/gpu: Insufficient nvidia.com/gpu"
    assert look(waiting[0]).unschedulable.startswith("1 pod waits for 2 more")
    assert look(make_pod(**READY)).unschedulable == ""


def test_all_pods_ready_is_ready_and_too_few_is_not() -> None:
    assert look(make_pod(**READY)).phase == "Ready"
    found = look(make_pod(**READY), replicas=2)
    assert (found.phase, found.reason, found.message) == ("Pending", "CreatingPods", "1 of 2 pods ready; more are being created")


def test_without_pods_the_deployment_says_why() -> None:
    assert look(replicas=0).phase == "ScaledToZero"
    assert look().reason == "CreatingPods"
    denied = engine_deployment(ReplicaFailure="True FailedCreate")
    denied["status"]["conditions"][0]["message"] = "exceeded quota"
    found = look(deployment=denied)
    assert (found.phase, found.reason, found.message) == ("Pending", "FailedCreate", "pods cannot be created: exceeded quota")


def refused(words: str) -> Obj:
    denied = engine_deployment(ReplicaFailure="True FailedCreate")
    denied["status"]["conditions"][0]["message"] = words
    return denied


def test_a_pod_that_cannot_be_created_beside_others_is_told_of_with_what_those_are_at() -> None:
    quota = refused("exceeded quota: gpus")
    found = look(make_pod(**READY), replicas=2, deployment=quota)
    assert (found.phase, found.reason) == ("Pending", "FailedCreate")
    assert found.message == "1 of 2 pods ready; pods cannot be created: exceeded quota: gpus"
    loading = look(make_pod(**READY), make_pod("b"), replicas=3, deployment=quota)
    assert (loading.phase, loading.message.endswith("; pods cannot be created: exceeded quota: gpus")) == ("Starting", True)
    assert look(make_pod(**READY), replicas=1, deployment=quota).refused == "", "as many as are asked for are there"


def test_only_a_quota_and_the_scheduler_say_that_there_is_no_room() -> None:
    assert look(deployment=refused("exceeded quota: gpus")).roomless == ("FailedCreate", "pods cannot be created: exceeded quota: gpus")
    assert look(deployment=refused("image not signed")).roomless is None
    assert look(deployment=refused("")).message == "pods cannot be created: nobody says why"
    waits = look(make_pod(**unschedulable("Insufficient nvidia.com/gpu")), replicas=2, deployment=refused("exceeded quota"))
    assert waits.roomless == ("Unschedulable", waits.unschedulable)


def test_terminating_and_finished_pods_do_not_count() -> None:
    going = make_pod("a", **READY)
    going["metadata"]["deletionTimestamp"] = "now"
    assert look(going, make_pod("b", phase="Failed"), make_pod("c", phase="Succeeded")).pods == 0


def test_a_pod_of_another_engine_or_of_nobody_does_not_count() -> None:
    stranger = make_pod("x", **READY)
    del stranger["metadata"]["labels"]
    assert look(make_pod("a", engine="engine2", **READY), stranger).pods == 0


@pytest.mark.parametrize(
    ("condition", "pod", "overdue"),
    [
        ("False ProgressDeadlineExceeded", {}, True),
        ("False Other", {}, False),
        ("True NewReplicaSetAvailable", {}, False),
        ("False ProgressDeadlineExceeded", READY, False),
    ],
)
def test_an_engine_is_overdue_while_it_is_not_ready_after_its_deadline(condition: str, pod: Obj, *, overdue: bool) -> None:
    assert look(make_pod(**pod), deployment=engine_deployment(Progressing=condition)).overdue == overdue


def test_a_pod_without_an_accelerator_asks_for_none() -> None:
    pod = make_pod()
    assert accelerators(pod) == ("nvidia.com/gpu", 2)
    pod["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "1"}}
    assert accelerators(pod) == ("", 0)
    assert accelerators({}) == ("", 0)


@pytest.mark.parametrize(("text", "line"), [("a\nb\n \n", "b"), ("", ""), ("x" * 999, "x" * 300)])
def test_the_last_line_is_the_last_that_says_something(text: str, line: str) -> None:
    assert last_line(text) == line


def test_token_of_the_pods_is_found_in_the_sidecar_only() -> None:
    pod = make_pod(**READY)
    pod["spec"]["initContainers"] = [
        {"name": "fetch"},
        {"name": "sidecar", "env": [{"name": "LLM_POD_TOKEN", "value": names.pod_token("other")}]},
    ]
    assert look(pod).pods == 0
