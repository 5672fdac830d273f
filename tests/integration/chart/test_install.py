"""The chart installed into a real API server: rights as the server sees them, notes, upgrade and what is left behind."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack import generate_rbac
from llm_operator.core import kinds
from tests.integration.chart.as_operator import ACCOUNT, RELEASE, SERVED, SYSTEM, UNSERVED, allowed, apply, create, denial
from tests.integration.chart.kit import CHART, helm, install, kubectl, render, run, with_registry
from tests.integration.chart.objects import deployment, lease
from tests.lab.wait import until

Object = dict[str, Any]

pytestmark = pytest.mark.usefixtures("release")


def may(user: str, questions: list[Object], groups: tuple[str, ...] = ("system:authenticated",)) -> list[bool]:
    """Ask the server, in one go, whether a user may do things."""
    reviews = [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": list(groups), "resourceAttributes": attributes},
        }
        for attributes in questions
    ]
    answer = r'--output=jsonpath={.status.allowed}{"\n"}'
    return [line == "true" for line in kubectl("create", "--filename=-", answer, stdin=yaml.safe_dump_all(reviews)).splitlines()]


def question(namespace: str, group: str, resource: str, verb: str, **more: str) -> Object:
    name, _, subresource = resource.partition("/")
    return {"namespace": namespace, "group": group, "resource": name, "subresource": subresource, "verb": verb, **more}


def every_right(namespace: str) -> list[Object]:
    rights = [(kind.group, resource, verb) for kind in kinds.ALL for resource, verbs in kind.rights.items() for verb in verbs]
    return [question(namespace, *right) for right in rights]


def test_the_operator_has_every_right_of_its_table_where_it_serves() -> None:
    questions = every_right(SERVED)
    assert may(ACCOUNT, questions) == [True] * len(questions)


@pytest.mark.parametrize("namespace", [UNSERVED, SYSTEM, "kube-system", ""])
def test_it_has_none_of_them_anywhere_else(namespace: str) -> None:
    questions = every_right(namespace)
    assert may(ACCOUNT, questions) == [False] * len(questions)


def test_of_leases_it_has_its_own_and_may_make_no_other() -> None:
    group, resource = kinds.LEASE.group, kinds.LEASE.plural
    verbs = ("get", "update", "create", "list", "watch", "patch", "delete")
    assert may(ACCOUNT, [question(SYSTEM, group, resource, verb, name=RELEASE) for verb in verbs]) == [True] * 3 + [False] * 4
    assert may(ACCOUNT, [question(SYSTEM, group, resource, verb, name="another") for verb in verbs]) == [False] * 2 + [True] + [False] * 4
    assert may(ACCOUNT, [question(SERVED, group, resource, verb, name=RELEASE) for verb in verbs]) == [False] * 7
    assert denial(create(lease("another"), SYSTEM)) == "lease: llm-operator may not write Lease another: it is not its own"
    assert allowed(create(lease(RELEASE), SYSTEM))


def test_it_has_no_way_to_secrets_commands_accounts_or_more_rights() -> None:
    verbs = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
    targets = [
        ("", "secrets"),
        ("", "serviceaccounts"),
        ("", "serviceaccounts/token"),
        ("", "pods/exec"),
        ("", "pods/attach"),
        ("", "pods/portforward"),
        ("", "pods/ephemeralcontainers"),
        ("", "pods/log"),
        ("", "nodes"),
        ("", "persistentvolumeclaims"),
        ("rbac.authorization.k8s.io", "roles"),
        ("rbac.authorization.k8s.io", "rolebindings"),
        ("rbac.authorization.k8s.io", "clusterroles"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ]
    questions = [question(SERVED, *target, verb) for target in targets for verb in verbs]
    questions += [question(SERVED, "", "pods", verb) for verb in ("get", "create", "update", "delete", "deletecollection")]
    questions += [question(SERVED, "llmops.dev", "llmdeployments", verb) for verb in ("create", "update", "patch", "delete")]
    assert may(ACCOUNT, questions) == [False] * len(questions)


def test_any_user_may_read_the_profiles_and_not_the_configuration() -> None:
    questions = [
        question(SYSTEM, "", "configmaps", "get", name="llm-operator-profiles"),
        question(SYSTEM, "", "configmaps", "get", name="llm-operator"),
        question(SYSTEM, "", "configmaps", "list"),
    ]
    assert may("someone", questions) == [True, False, False]


def test_the_notes_name_the_namespaces_and_the_way_to_one_more(release: str) -> None:
    assert f"It serves LLMDeployments in: {SERVED}. Elsewhere nothing happens to them." in release
    assert f"--set 'namespaces={{{SERVED},team-a}}'" in release
    assert f"kubectl -n {SYSTEM} rollout status deployment/llm-operator" in release
    assert f"kubectl -n {SERVED} get llm" in release
    assert "about a minute" not in release


def test_the_notes_say_what_an_unusual_installation_means() -> None:
    def notes(**values: Any) -> str:
        done = helm("install", "x", str(CHART), "-n", UNSERVED, "--dry-run=server", "--output=json", values=with_registry(values))
        assert done.code == 0, done.err
        return str(json.loads(done.out)["info"]["notes"])

    assert "a changed prompt reaches running pods within about a minute instead of at once" in notes(admissionPolicy={"enabled": False})
    assert "It serves LLMDeployments in every namespace of the cluster." in notes(clusterWide=True)
    assert f"It serves LLMDeployments in: {UNSERVED}. Elsewhere" in notes()


def test_a_second_release_may_stand_beside_the_first_but_not_serve_the_same_namespace() -> None:
    beside = helm("install", RELEASE, str(CHART), "-n", UNSERVED, "--dry-run=server", values=with_registry({}))
    assert beside.code == 0, beside.err
    same = helm("install", RELEASE, str(CHART), "-n", UNSERVED, "--dry-run=server", values=with_registry({"namespaces": [SERVED]}))
    assert same.code != 0
    assert "exists and cannot be imported into the current release" in same.err


def test_what_is_live_is_what_was_rendered() -> None:
    rendered = render({"namespaces": [SERVED]}, namespace=SYSTEM)
    done = run(["kubectl", "diff", "--server-side", "--force-conflicts", "--filename=-"], yaml.safe_dump_all(rendered))
    assert done.code == 0, done.out + done.err


def test_the_crds_upgrade_as_the_notes_say(tmp_path: Path, release: str) -> None:
    for file in (CHART / "crds").iterdir():
        newer = yaml.safe_load(file.read_text())
        newer["spec"]["versions"][0]["additionalPrinterColumns"] = [
            {"name": "NEW", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
        ]
        (tmp_path / file.name).write_text(yaml.safe_dump(newer))
    (command,) = [line.split() for line in release.splitlines() if "/crds/" in line]
    assert command[:2] == ["kubectl", "apply"]
    done = kubectl(*[word.replace("<chart>/crds/", str(tmp_path)) for word in command[1:]], "--dry-run=server", "--output=name")
    assert {line.partition("/")[2] for line in done.splitlines()} == {"llmdeployments.llmops.dev", "llmprompts.llmops.dev"}


def test_a_namespace_that_is_taken_off_the_list_loses_its_role_and_gets_it_back() -> None:
    name = ("role", RELEASE, "--ignore-not-found", "--output=name")
    install(RELEASE, SYSTEM, {"namespaces": [UNSERVED]})
    assert (kubectl("-n", SERVED, "get", *name), kubectl("-n", UNSERVED, "get", *name)) == (
        "",
        f"role.rbac.authorization.k8s.io/{RELEASE}\n",
    )
    install(RELEASE, SYSTEM, {"namespaces": [SERVED]})
    # A changed policy acts about half a second later, and the tests after this one need it in force.
    until(lambda: apply(deployment()).code == 0, timeout_s=30, what="the namespace served again")
    assert kubectl("-n", UNSERVED, "get", *name) == ""
    assert set(generate_rbac.grants()) <= {
        (group, resource)
        for rule in json.loads(kubectl("-n", SERVED, "get", "role", RELEASE, "--output=json"))["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
