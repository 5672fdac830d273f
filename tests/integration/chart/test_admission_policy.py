"""What the operator's own account may do on a real API server, and what is refused although its Role would allow it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.integration.chart.as_operator import ACCOUNT, SERVED, UNSERVED, allowed, apply, delete, denial, patch
from tests.integration.chart.kit import kubectl, run
from tests.integration.chart.objects import ENGINE, FETCHER, LLM, SECURITY, config_map, container, deployment, job, owner, pod, service
from tests.lab.wait import until

Object = dict[str, Any]

DIGEST = "sha256:" + "0" * 64
WORKLOADS = pytest.mark.parametrize("workload", [deployment, job], ids=["a Deployment", "a Job"])


@pytest.fixture(scope="module", autouse=True)
def live(release: str) -> Iterator[None]:
    """Put objects of the operator and of others into the namespace it serves, as an administrator may."""
    assert release
    uid = json.loads(kubectl("-n", SERVED, "create", "--filename=-", "--output=json", stdin=json.dumps(LLM)))["metadata"]["uid"]
    ours: Object = {"ownerReferences": [owner(uid)]}
    foreign: Object = {"labels": {"team": "other"}, "ownerReferences": []}
    notes = {"llmops.dev/old": "1", "team.example.com/note": "keep"}
    former = {"containers": [container("engine", "former.example.com/engine:1")]}
    objects = [
        pod("ours", annotations=notes, finalizers=["team.example.com/hold"], **ours),
        pod("foreign", annotations=notes, **foreign),
        deployment("ours", pod=former, **ours),
        deployment("foreign", **foreign),
        job("ours", **ours),
        service("ours", **ours),
        service("foreign", **foreign),
        config_map("ours", **ours),
        config_map("ours-evidence", **ours),
        config_map("foreign-evidence", **foreign),
        config_map("label-stripped", labels={}, **ours),
        config_map("owner-stripped", ownerReferences=[]),
        config_map("foreign", **foreign),
    ]
    kubectl("-n", SERVED, "create", "--filename=-", stdin=yaml.safe_dump_all(objects))
    # kubectl reads before it patches; the operator does not need to.
    kubectl("-n", SERVED, "create", "role", "kubectl", "--verb=get", "--resource=pods")
    kubectl("-n", SERVED, "create", "rolebinding", "kubectl", "--role=kubectl", f"--user={ACCOUNT}")
    # More rights than the chart gives: what is refused in this namespace is refused by the policies alone.
    kubectl("-n", UNSERVED, "create", "rolebinding", "too-much", "--clusterrole=cluster-admin", f"--user={ACCOUNT}")
    kubectl("-n", UNSERVED, "create", "--filename=-", stdin=json.dumps(pod("ours", ownerReferences=[])))
    yield
    kubectl("-n", UNSERVED, "delete", "rolebinding", "too-much")
    kubectl("-n", SERVED, "delete", "rolebinding", "kubectl")
    kubectl("-n", SERVED, "patch", "pod", "ours", "--type=merge", '--patch={"metadata": {"finalizers": []}}')


def annotation(name: str, value: str | None) -> Object:
    return {"metadata": {"annotations": {name: value}}}


def volume(**source: Object) -> Object:
    return {"volumes": [{"name": "extra", **source}]}


def image(reference: str) -> Object:
    return {"containers": [container("engine", reference)]}


def engine(**change: Any) -> Object:
    return {"containers": [container("engine", ENGINE, **change)]}


def engine_security(**change: Any) -> Object:
    return engine(securityContext={**SECURITY, **change})


def test_the_server_finds_no_fault_in_the_expressions() -> None:
    def checked() -> Object:
        """Return what was found in each policy, once all have been looked at: a controller does that beside what else it does."""
        policies = json.loads(kubectl("get", "validatingadmissionpolicies", "--output=json"))["items"]
        ours = [policy for policy in policies if ACCOUNT in json.dumps(policy["spec"])]
        return {policy["metadata"]["name"].split(".")[0]: policy["status"]["typeChecking"] for policy in ours}

    found = until(checked, timeout_s=60, what="the expressions checked")
    assert set(found) == {"lease", "owned", "pods", "services", "workloads"}
    assert [name for name, faults in found.items() if faults] == []


@pytest.mark.parametrize(
    "change",
    [
        annotation("llmops.dev/table-generation", "7"),
        annotation("llmops.dev/old", None),
        annotation("controller.kubernetes.io/pod-deletion-cost", "-5"),
    ],
    ids=["the nudge", "an own annotation goes", "the deletion cost"],
)
def test_own_annotations_of_own_pods_may_change(change: Object) -> None:
    assert allowed(patch("pod", "ours", change))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (annotation("team.example.com/note", "other"), "not annotation team.example.com/note"),
        (annotation("team.example.com/note", None), "not annotation team.example.com/note"),
        (annotation("sidecar.istio.io/inject", "false"), "not annotation sidecar.istio.io/inject"),
        (annotation("llmops.development/x", "1"), "not annotation llmops.development/x"),
        ({"metadata": {"labels": {"team": "other"}}}, "not its labels, finalizers or owners"),
        ({"metadata": {"labels": {"llmops.dev/deployment": None}}}, "not its labels, finalizers or owners"),
        ({"metadata": {"finalizers": []}}, "not its labels, finalizers or owners"),
        ({"metadata": {"ownerReferences": []}}, "not its labels, finalizers or owners"),
        ({"spec": {"activeDeadlineSeconds": 5}}, "not its spec"),
        ([{"op": "add", "path": "/spec/tolerations/-", "value": {"operator": "Exists"}}], "not its spec"),
        ([{"op": "replace", "path": "/spec/containers/0/image", "value": FETCHER}], "not its spec"),
    ],
    ids=str,
)
def test_nothing_else_of_an_own_pod_may_change(change: Object | list[Object], reason: str) -> None:
    answer = denial(patch("pod", "ours", change))
    assert answer.startswith("pods: llm-operator may change only annotations ")
    assert reason in answer


def test_a_pod_of_others_may_not_even_be_nudged() -> None:
    nudge = annotation("llmops.dev/table-generation", "7")
    assert denial(patch("pod", "foreign", nudge)) == "pods: llm-operator may not touch pod foreign: it is not one of its own"


@WORKLOADS
def test_what_the_operator_renders_is_let_through(workload: Any) -> None:
    assert allowed(apply(workload()))


@WORKLOADS
@pytest.mark.parametrize(
    "reference",
    ["vllm/vllm-openai:v0.33.1", "vllm/vllm-openai", f"vllm/vllm-openai@{DIGEST}", f"vllm/vllm-openai:v1@{DIGEST}", FETCHER],
)
def test_any_tag_of_a_known_repository_may_run(workload: Any, reference: str) -> None:
    assert allowed(apply(workload(pod=image(reference))))


@WORKLOADS
@pytest.mark.parametrize(
    "reference",
    [
        "evil.example.com/vllm/vllm-openai:v0.32.0",
        "vllm/vllm-openai-evil:v0.32.0",
        "vllm/vllm-openai/evil:v0.32.0",
        "vllm/vllm-openai:5000/evil",
        "vllm/vllm:v0.32.0",
        "busybox",
    ],
)
def test_an_image_from_elsewhere_may_not_run(workload: Any, reference: str) -> None:
    assert denial(apply(workload(pod=image(reference)))).startswith(f"workloads: llm-operator may not run image {reference}: allowed are ")


@WORKLOADS
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"hostNetwork": True}, "hostNetwork"),
        ({"hostPID": True}, "hostPID"),
        ({"hostIPC": True}, "hostIPC"),
        (engine(ports=[{"containerPort": 8080, "hostPort": 8080}]), "a hostPort"),
        (volume(hostPath={"path": "/"}), "hostPath or any volume but"),
        (volume(projected={"sources": [{"serviceAccountToken": {"path": "token"}}]}), "hostPath or any volume but"),
        (volume(nfs={"server": "192.0.2.1", "path": "/"}), "hostPath or any volume but"),
        (engine_security(privileged=True, allowPrivilegeEscalation=True), "a privileged container"),
        (engine_security(allowPrivilegeEscalation=None), "allowPrivilegeEscalation=false"),
        (engine(securityContext={}), "allowPrivilegeEscalation=false"),
        (engine_security(capabilities={"add": ["SYS_ADMIN"]}), "added capabilities"),
        ({"initContainers": [container("x", FETCHER, securityContext={"privileged": True})]}, "a privileged container"),
        ({"initContainers": [container("x", "busybox")]}, "image busybox"),
        ({"automountServiceAccountToken": True}, "without automountServiceAccountToken=false"),
        ({"automountServiceAccountToken": None}, "without automountServiceAccountToken=false"),
        ({"serviceAccountName": "builder"}, "a service account other than default"),
    ],
    ids=str,
)
def test_a_workload_reaches_neither_host_nor_rights(workload: Any, change: Object, reason: str) -> None:
    answer = denial(apply(workload(pod=change)))
    assert answer.startswith("workloads: llm-operator may not ")
    assert reason in answer


@WORKLOADS
def test_the_account_called_default_may_be_named(workload: Any) -> None:
    assert allowed(apply(workload(pod={"serviceAccountName": "default"})))


def test_a_live_workload_is_held_to_the_same() -> None:
    change = {"spec": {"template": {"spec": {"hostNetwork": True}}}}
    assert denial(patch("deployment", "ours", change)) == "workloads: llm-operator may not write a workload with hostNetwork"


def test_an_engine_whose_image_left_the_list_can_still_be_scaled_and_never_changed_to_another_such() -> None:
    assert allowed(patch("deployment", "ours", {"spec": {"replicas": 1}}))
    swap = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "former.example.com/engine:2"}]
    assert "may not run image former.example.com/engine:2" in denial(patch("deployment", "ours", swap))


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"externalIPs": ["192.0.2.1"]}, "with externalIPs"),
        ({"type": "NodePort"}, "of a type other than ClusterIP"),
        ({"type": "LoadBalancer"}, "of a type other than ClusterIP"),
        ({"type": "ExternalName", "externalName": "example.com"}, "of a type other than ClusterIP"),
    ],
)
def test_a_service_opens_no_way_in_from_outside(spec: Object, reason: str) -> None:
    assert denial(apply(service(spec=spec))) == f"services: llm-operator may not write a Service {reason}"


@pytest.mark.parametrize("spec", [{}, {"clusterIP": "None"}])
def test_a_service_inside_the_cluster_is_let_through(spec: Object) -> None:
    assert allowed(apply(service(spec=spec)))


@pytest.mark.parametrize("make", [deployment, job, service, config_map])
@pytest.mark.parametrize(
    "change",
    [{"labels": {"team": "other"}}, {"ownerReferences": []}, {"ownerReferences": [{**owner(), "kind": "Other"}]}],
    ids=["not its label", "no owner", "another owner"],
)
def test_nothing_is_made_without_label_and_owner(make: Any, change: Object) -> None:
    assert denial(apply(make(**change))).startswith("owned: llm-operator may write ")


@pytest.mark.parametrize("resource", ["deployment", "service", "configmap"])
def test_what_belongs_to_others_is_neither_changed_nor_deleted(resource: str) -> None:
    adopt = {"metadata": {"labels": config_map()["metadata"]["labels"], "ownerReferences": [owner()]}}
    reason = f"owned: llm-operator may not touch {resource}s foreign: it is not one of its own"
    assert denial(patch(resource, "foreign", adopt)) == reason
    if resource != "configmap":
        assert denial(delete(resource, "foreign")) == reason


def test_a_snapshot_goes_with_its_owner_only() -> None:
    assert denial(delete("configmap", "ours")) == "owned: llm-operator may not delete configmap ours: it is no evidence of a rollout"


def test_the_evidence_of_a_rollout_is_deleted_if_it_is_its_own() -> None:
    assert allowed(delete("configmap", "ours-evidence"))
    assert "it is not one of its own" in denial(delete("configmap", "foreign-evidence"))


@pytest.mark.parametrize("resource", ["deployment", "job", "service"])
def test_what_is_its_own_is_deleted(resource: str) -> None:
    assert allowed(delete(resource, "ours"))


@pytest.mark.parametrize("name", ["label-stripped", "owner-stripped"])
def test_an_own_object_is_repaired_when_its_label_or_its_owner_was_stripped(name: str) -> None:
    assert allowed(patch("configmap", name, {"metadata": {"labels": config_map()["metadata"]["labels"], "ownerReferences": [owner()]}}))


def test_a_namespace_that_is_not_served_stays_closed_whatever_rights_there_are() -> None:
    reason = f"llm-operator does not serve namespace {UNSERVED}: see the value namespaces of its chart"
    for obj in (deployment(), job(), config_map()):
        assert reason in denial(apply(obj, UNSERVED))
    assert denial(patch("pod", "ours", annotation("llmops.dev/x", "1"), UNSERVED)) == f"pods: {reason}"


def test_everybody_else_is_left_alone() -> None:
    host = deployment("admin", pod={"hostNetwork": True, **image("busybox")}, labels={}, ownerReferences=[])
    done = run(["kubectl", "-n", SERVED, "create", "--dry-run=server", "--filename=-"], json.dumps(host))
    assert allowed(done)
