"""What the chart renders, for the installations people choose between."""

from typing import Any

import kubernetes_validate
import pytest
import yaml

from hack import generate_rbac
from llm_operator.api.config import load_config
from llm_operator.core import kinds
from tests.integration.chart.kit import REGISTRY, helm, of_kind, one, refusal, render, template, with_registry

Object = dict[str, Any]

INSTALLATIONS: dict[str, Object] = {
    "the default": {},
    "three namespaces": {"namespaces": ["team-b", "team-a", "llm-system"]},
    "the whole cluster": {"clusterWide": True},
    "no rights on the cluster": {"admissionPolicy": {"enabled": False}},
    "everything set": {
        "namespaces": ["team-a"],
        "image": {"tag": "v9", "operator": {"name": "op", "digest": "sha256:" + "a" * 64}, "pullPolicy": "Always", "pullSecrets": ["pull"]},
        "admissionPolicy": {"extraImages": ["old.example.com:5000/llm/llm-sidecar:1"]},
        "engineProfiles": {
            "vllm": None,
            "own": {"kind": "vllm", "image": "localhost:5000/own/vllm:2", "version": "0.32.0", "args": ["--x"]},
        },
        "acceleratorProfiles": {"cpu": {}},
        "sources": {"schemes": ["s3"], "s3Buckets": ["models"]},
        "monitoringNamespaces": ["monitoring"],
        "gateway": {"enabled": True},
        "gates": {
            "prometheus": {"url": "http://prometheus.monitoring:9090", "tokenSecret": {"name": "reader", "key": "token"}},
            "webhooks": {
                "judge": {"url": "https://judge.example.com/verdict", "tokenSecret": {"name": "judge", "key": "bearer"}},
                "open": {"url": "http://open.platform"},
            },
        },
        "modelCheckSeconds": 3600,
        "resyncSeconds": 60,
        "replicas": 3,
        "logLevel": "DEBUG",
        "podAnnotations": {"team": "ml"},
        "podLabels": {"team": "ml", "app.kubernetes.io/instance": "another"},
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "serviceAccount": {"name": "llm", "annotations": {"a": "b"}},
        "networkPolicy": {"enabled": True},
        "fullnameOverride": "models",
    },
}
each_installation = pytest.mark.parametrize("values", INSTALLATIONS.values(), ids=INSTALLATIONS.keys())


def config(objects: list[Object], name: str = "llm-operator") -> Object:
    loaded: Object = yaml.safe_load(one(objects, "ConfigMap", name)["data"]["config.yaml"])
    return loaded


def pod(objects: list[Object]) -> Object:
    (deployment,) = of_kind(objects, "Deployment")
    template: Object = deployment["spec"]["template"]
    return template


def roles(objects: list[Object], kind: str = "Role") -> dict[str, list[Object]]:
    """Return the rules of the operator's roles by namespace; those around the public profiles and the Lease are another matter."""
    found = [role for role in of_kind(objects, kind) if not role["metadata"]["name"].endswith(("-profiles", "-lease"))]
    return {role["metadata"].get("namespace", ""): role["rules"] for role in found}


def granted(rules: list[Object]) -> generate_rbac.Grants:
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for rule in rules:
        assert set(rule) == {"apiGroups", "resources", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found[group, resource] = (*found.get((group, resource), ()), *rule["verbs"])
    return found


@each_installation
def test_every_object_is_valid_to_the_letter(values: Object) -> None:
    objects = render(values)
    assert {"Deployment", "ServiceAccount", "ConfigMap"} <= {obj["kind"] for obj in objects}
    for obj in objects:
        for version in ("1.30", "1.37"):  # the oldest it is for, and the one that the tests run
            kubernetes_validate.validate(obj, version, strict=True)


@each_installation
def test_helm_finds_nothing_to_complain_about(values: Object) -> None:
    done = helm("lint", "charts/llm-operator", "--strict", values=with_registry(values))
    assert "0 chart(s) failed" in done.out, done.out


@each_installation
def test_the_configuration_is_one_the_operator_reads(values: Object) -> None:
    objects = render(values)
    loaded = load_config(yaml.safe_dump(config(objects, pod(objects)["spec"]["volumes"][0]["configMap"]["name"])))
    assert loaded.operator_namespace == "llm-system"
    assert loaded.cluster_wide == (not loaded.namespaces)


@each_installation
def test_the_same_values_render_the_same_bytes(values: Object) -> None:
    assert template(with_registry(values)).out == template(with_registry(values)).out


@each_installation
def test_the_pod_is_admissible_where_security_is_restricted(values: Object) -> None:
    spec = pod(render(values))["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {next(iter(set(volume) - {"name"})) for volume in spec["volumes"]} <= {"configMap", "emptyDir", "projected"}
    assert container["resources"]["requests"]
    assert container["resources"]["limits"]["memory"]


@each_installation
def test_every_object_that_is_not_the_clusters_names_its_namespace(values: Object) -> None:
    cluster = {"ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    for obj in render(values):
        assert ("namespace" in obj["metadata"]) == (obj["kind"] not in cluster)


def test_two_operators_run_apart_and_one_is_ready_before_another_goes() -> None:
    objects = render({})
    spec = one(objects, "Deployment", "llm-operator")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    spread = spec["template"]["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert {each["whenUnsatisfiable"] for each in spread} == {"ScheduleAnyway"}
    budget = one(objects, "PodDisruptionBudget", "llm-operator")["spec"]
    assert budget["maxUnavailable"] == 1
    for selector in (*(each["labelSelector"] for each in spread), budget["selector"]):
        assert selector == spec["selector"]


def test_one_operator_alone_is_in_nobodys_way() -> None:
    objects = render({"replicas": 1})
    assert one(objects, "Deployment", "llm-operator")["spec"]["replicas"] == 1
    assert of_kind(objects, "PodDisruptionBudget") == []


@pytest.mark.parametrize("values", [{"namespaces": ["team-a"]}, {"clusterWide": True}], ids=["one namespace", "the whole cluster"])
def test_the_lease_is_the_releases_own_and_lies_in_its_namespace(values: Object) -> None:
    objects = render(values, release="models")
    assert config(objects, "models-llm-operator")["leaderElection"] == {"leaseName": "models-llm-operator"}
    role = one(objects, "Role", "models-llm-operator-lease")
    assert role["metadata"]["namespace"] == "llm-system"
    assert role["rules"][1]["resourceNames"] == ["models-llm-operator"]
    (subject,) = one(objects, "RoleBinding", "models-llm-operator-lease")["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": "models-llm-operator", "namespace": "llm-system"}


def test_the_operator_is_probed_on_its_http_port() -> None:
    objects = render({})
    spec = one(objects, "Deployment", "llm-operator")["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert container["command"] == ["python3", "-m", "llm_operator"]
    assert container["ports"] == [{"name": "http", "containerPort": 8081}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/etc/llm-operator", "/tmp"}  # noqa: S108  # a mount, not a file


def test_the_token_of_a_gates_server_is_a_file_where_the_operator_looks_for_it() -> None:
    objects = render(INSTALLATIONS["everything set"])
    spec = pod(objects)["spec"]
    gates = load_config(yaml.safe_dump(config(objects, "models"))).gates
    assert gates.prometheus
    assert gates.webhooks["open"].token_file == ""
    (mount,) = [each for each in spec["containers"][0]["volumeMounts"] if each["name"] == "tokens"]
    (volume,) = [each["projected"] for each in spec["volumes"] if each["name"] == "tokens"]
    files = {
        f"{mount['mountPath']}/{item['path']}": (each["secret"]["name"], item["key"])
        for each in volume["sources"]
        for item in each["secret"]["items"]
    }
    assert files == {gates.prometheus.token_file: ("reader", "token"), gates.webhooks["judge"].token_file: ("judge", "bearer")}
    assert mount["readOnly"]


def test_values_of_the_pod_end_up_in_the_pod() -> None:
    template = pod(render(INSTALLATIONS["everything set"]))
    spec = template["spec"]
    assert template["metadata"]["annotations"]["team"] == "ml"
    assert template["metadata"]["labels"]["team"] == "ml"
    assert template["metadata"]["labels"]["app.kubernetes.io/instance"] == "llm-operator", "the selector's labels are not for sale"
    assert spec["nodeSelector"] == {"pool": "system"}
    assert spec["tolerations"] == [{"key": "system", "operator": "Exists"}]
    assert spec["affinity"] == {"nodeAffinity": {}}
    assert spec["priorityClassName"] == "high"
    assert spec["serviceAccountName"] == "llm"
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert spec["containers"][0]["imagePullPolicy"] == "Always"
    assert spec["containers"][0]["env"] == [{"name": "LLM_OPERATOR_LOG_LEVEL", "value": "DEBUG"}]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({}, f"{REGISTRY}/llm-operator:0.1.0"),
        ({"registry": "localhost:5000/", "tag": "dev"}, "localhost:5000/llm-operator:dev"),
        ({"operator": {"name": "op", "digest": "sha256:" + "a" * 64}}, f"{REGISTRY}/op@sha256:{'a' * 64}"),
    ],
    ids=["the chart's version", "a tag for all", "a digest for one"],
)
def test_an_image_is_named_by_registry_and_tag_or_digest(image: Object, expected: str) -> None:
    assert pod(render({"image": image}))["spec"]["containers"][0]["image"] == expected


def test_a_changed_configuration_starts_the_operator_anew_and_nothing_else_does() -> None:
    def checksum(values: Object) -> str:
        return str(pod(render(values))["metadata"]["annotations"]["checksum/config"])

    assert checksum({"resyncSeconds": 60}) != checksum({})
    assert checksum({"podLabels": {"a": "b"}, "networkPolicy": {"enabled": True}}) == checksum({})


def test_by_default_the_release_namespace_alone_is_served() -> None:
    objects = render({})
    assert set(roles(objects)) == {"llm-system"}
    assert roles(objects, "ClusterRole") == {}
    assert config(objects)["namespaces"] == ["llm-system"]
    assert config(objects)["clusterWide"] is False


def test_each_namespace_that_is_named_gets_a_role_and_the_release_namespace_only_when_named() -> None:
    objects = render({"namespaces": ["team-b", "team-a"]})
    assert set(roles(objects)) == {"team-a", "team-b"}
    bindings = [binding for binding in of_kind(objects, "RoleBinding") if binding["metadata"]["name"] == "llm-operator"]
    assert {binding["metadata"]["namespace"] for binding in bindings} == {"team-a", "team-b"}
    subject = {"kind": "ServiceAccount", "name": "llm-operator", "namespace": "llm-system"}
    assert [binding["subjects"] for binding in bindings] == [[subject]] * 2
    assert config(objects)["namespaces"] == ["team-a", "team-b"]


def test_the_whole_cluster_is_served_only_when_asked_for_and_by_the_same_rules() -> None:
    objects = render({"clusterWide": True})
    assert roles(objects) == {}
    assert roles(objects, "ClusterRole") == {"": roles(render({}))["llm-system"]}
    assert (config(objects)["clusterWide"], config(objects)["namespaces"]) == (True, [])


def test_the_role_grants_what_the_table_of_kinds_says_and_the_nudge_with_its_policy() -> None:
    table = generate_rbac.grants()
    with_policy = granted(roles(render({}))["llm-system"])
    without = granted(roles(render({"admissionPolicy": {"enabled": False}}))["llm-system"])
    scalers = {(each.group, each.plural): each.verbs for each in kinds.SCALERS}
    assert without == {**table, **scalers}
    assert with_policy == {**table, **scalers, ("", "pods"): (*table["", "pods"], "patch")}


def test_what_else_scales_may_be_listed_unless_that_is_turned_off() -> None:
    objects, without = (render({"scalingConflicts": {"enabled": enabled}}) for enabled in (True, False))
    for each in kinds.SCALERS:
        assert granted(roles(objects)["llm-system"])[each.group, each.plural] == ("list",)
        assert (each.group, each.plural) not in granted(roles(without)["llm-system"])
    assert ("scalingConflicts" in config(objects), config(without)["scalingConflicts"]) == (False, False)


def test_routes_are_a_right_and_a_part_of_the_policy_only_where_they_are_enabled() -> None:
    route = kinds.HTTP_ROUTE
    objects, without = (render({"gateway": {"enabled": enabled}}) for enabled in (True, False))
    assert granted(roles(objects)["llm-system"])[route.group, route.plural] == route.verbs
    assert (route.group, route.plural) not in granted(roles(without)["llm-system"])
    assert (config(objects)["gateway"], "gateway" in config(without)) == (True, False)
    for rendered, expected in ((objects, True), (without, False)):
        policies = of_kind(rendered, "ValidatingAdmissionPolicy")
        matched = {
            resource
            for policy in policies
            for rule in policy["spec"]["matchConstraints"]["resourceRules"]
            if rule["apiGroups"] == [route.group]
            for resource in rule["resources"]
        }
        assert (route.plural in matched) == expected


def test_without_rights_on_the_cluster_nothing_of_the_cluster_is_made_and_no_pod_is_nudged() -> None:
    objects = render({"admissionPolicy": {"enabled": False}})
    assert {obj["kind"] for obj in objects} == {"ServiceAccount", "ConfigMap", "Role", "RoleBinding", "Deployment", "PodDisruptionBudget"}
    assert config(objects)["nudge"] is False
    assert "nudge" not in config(render({})), "the operator nudges unless it is told not to"


def test_everyone_may_read_the_profiles_and_nothing_else() -> None:
    objects = render({})
    assert one(objects, "Role", "llm-operator-profiles")["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["llm-operator-profiles"], "verbs": ["get"]}
    ]
    (subject,) = one(objects, "RoleBinding", "llm-operator-profiles")["subjects"]
    assert subject["name"] == "system:authenticated"
    published = yaml.safe_load(one(objects, "ConfigMap", "llm-operator-profiles")["data"]["profiles.yaml"])
    assert published == {key: config(objects)[key] for key in ("engineProfiles", "acceleratorProfiles")}
    assert set(published["acceleratorProfiles"]) == {"nvidia", "nvidia-l4", "nvidia-h100"}


def test_a_profile_of_the_chart_is_removed_by_null() -> None:
    assert set(config(render(INSTALLATIONS["everything set"]), "models")["engineProfiles"]) == {"own"}


def test_a_null_for_a_profile_the_chart_does_not_bring_is_as_if_it_were_not_there() -> None:
    objects = render({"engineProfiles": {"theirs": None}, "acceleratorProfiles": {"theirs": None, "cpu": {}}})
    loaded = load_config(yaml.safe_dump(config(objects)))
    assert set(loaded.engine_profiles) == {"vllm"}
    assert set(loaded.accelerator_profiles) == {"nvidia", "nvidia-l4", "nvidia-h100", "cpu"}
    assert "theirs" not in one(objects, "ConfigMap", "llm-operator-profiles")["data"]["profiles.yaml"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"engineProfiles": None}, "missing property 'engineProfiles'"),
        ({"acceleratorProfiles": None}, "missing property 'acceleratorProfiles'"),
        ({"engineProfiles": {"vllm": None}}, "at '/engineProfiles': minProperties: got 0, want 1"),
        ({"engineProfiles": {"vllm": None, "theirs": None}}, "engineProfiles has no profile left: every one of them is null"),
    ],
)
def test_an_installation_without_a_profile_is_refused_before_the_operator_would_refuse_it(values: Object, message: str) -> None:
    assert message in refusal(with_registry(values))


def test_a_quantity_may_be_a_number_and_the_operator_reads_it_as_it_was_written() -> None:
    numbers = {"requests": {"cpu": 0.5, "memory": 268435456}, "limits": {"cpu": 2, "memory": 16_000_000_000}}
    texts = {"requests": {"cpu": "0.5", "memory": "268435456"}, "limits": {"cpu": "2", "memory": "16000000000"}}
    cards = {"small": {"memory": 24_000_000_000}, "none": {}}
    values = {"sidecarResources": numbers, "fetcherResources": numbers, "resources": numbers, "acceleratorProfiles": cards}
    objects = render(values)
    loaded = load_config(yaml.safe_dump(config(objects)))
    assert loaded.sidecar_resources.model_dump() == loaded.fetcher_resources.model_dump() == texts
    assert loaded.accelerator_profiles["small"].memory == "24000000000"
    (container,) = pod(objects)["spec"]["containers"]
    assert container["resources"] == texts


def test_the_policy_knows_the_repositories_of_every_image_that_may_run() -> None:
    objects = render(INSTALLATIONS["everything set"])
    variables = one(objects, "ValidatingAdmissionPolicy", "workloads.models.llm-system")["spec"]["variables"]
    (repositories,) = [variable["expression"] for variable in variables if variable["name"] == "repositories"]
    assert yaml.safe_load(repositories) == [
        "localhost:5000/own/vllm",
        "old.example.com:5000/llm/llm-sidecar",
        f"{REGISTRY}/llm-fetcher",
        f"{REGISTRY}/llm-sidecar",
    ]


def test_a_cluster_wide_operator_is_kept_out_of_the_clusters_own_namespaces() -> None:
    for policy in of_kind(render({"clusterWide": True}), "ValidatingAdmissionPolicy"):
        if not policy["metadata"]["name"].startswith(("services.", "lease.")):
            assert policy["spec"]["validations"][0]["expression"] == "!request.namespace.startsWith('kube-')"


def test_the_network_policy_opens_the_health_port_alone() -> None:
    policy = one(render(INSTALLATIONS["everything set"]), "NetworkPolicy", "models")
    assert policy["spec"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": 8081}]}]
    assert of_kind(render({}), "NetworkPolicy") == []


def test_no_registry_is_asked_for_in_words() -> None:
    message = refusal({})
    assert "image.registry is required: where the images of llm-operator were pushed" in message
    assert "--set image.registry=registry.example.com/llm" in message


def test_namespaces_and_the_whole_cluster_exclude_each_other() -> None:
    assert "clusterWide and namespaces exclude each other" in refusal(with_registry({"clusterWide": True, "namespaces": ["a"]}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"clusterwide": True}, "additional properties 'clusterwide' not allowed"),
        ({"namespaces": "team-a"}, "at '/namespaces': got string, want array"),
        ({"engineProfiles": {"own": {"kind": "vllm"}}}, "at '/engineProfiles/own': missing properties 'image', 'version'"),
        ({"resyncSeconds": 1}, "at '/resyncSeconds': minimum: got 1, want 10"),
    ],
)
def test_a_bad_value_is_refused_with_its_place_and_what_is_wanted(values: Object, message: str) -> None:
    assert message in refusal(with_registry(values))


@pytest.mark.parametrize(("kubernetes", "taken"), [("1.29.9", False), ("1.30.0", True), ("1.30.0-gke.1", True)])
def test_a_cluster_that_is_too_old_is_refused(kubernetes: str, taken: bool) -> None:
    done = template(with_registry({}), kubernetes=kubernetes)
    assert (done.code == 0) == taken
    assert taken or "chart requires kubeVersion: >=1.30.0-0" in done.err


@pytest.mark.parametrize(
    ("release", "name"),
    [("llm-operator", "llm-operator"), ("llm-operator-two", "llm-operator-two"), ("models", "models-llm-operator"), ("x" * 53, "x" * 53)],
)
def test_objects_are_named_after_the_release(release: str, name: str) -> None:
    assert of_kind(render({}, release=release), "Deployment")[0]["metadata"]["name"] == name
