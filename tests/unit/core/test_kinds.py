from llm_operator.core import kinds


def test_paths_name_group_version_namespace_object_and_subresource() -> None:
    assert kinds.POD.path("ns", "p") == "/api/v1/namespaces/ns/pods/p"
    assert kinds.LLM_DEPLOYMENT.path("ns", "chat", "status") == "/apis/llmops.dev/v1alpha1/namespaces/ns/llmdeployments/chat/status"
    assert kinds.DEPLOYMENT.path(None) == "/apis/apps/v1/deployments"


def test_core_kinds_have_no_group_in_their_version() -> None:
    assert (kinds.SERVICE.api_version, kinds.JOB.api_version) == ("v1", "batch/v1")


def test_every_kind_is_found_by_its_name() -> None:
    assert {kinds.BY_KIND[kind.kind] for kind in (*kinds.ALL, *kinds.OPTIONAL, *kinds.SCALERS)} == {
        *kinds.ALL,
        *kinds.OPTIONAL,
        *kinds.SCALERS,
    }


def test_the_lease_is_no_right_in_the_namespaces_that_are_served() -> None:
    assert kinds.LEASE not in kinds.ALL
    assert kinds.LEASE.path("ns", "x") == "/apis/coordination.k8s.io/v1/namespaces/ns/leases/x"


def test_the_rights_on_a_kind_are_told_by_resource_and_subresource_and_only_where_there_are_any() -> None:
    assert kinds.LLM_DEPLOYMENT.rights == {
        "llmdeployments": ("get", "list", "watch"),
        "llmdeployments/status": ("patch",),
        "llmdeployments/finalizers": ("update",),
    }
    assert kinds.EVENT.rights == {"events": ("create", "patch")}
