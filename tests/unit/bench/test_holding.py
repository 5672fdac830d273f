"""What pods hold is read from the audit log, those that drain included."""

from typing import Any

from bench.holding import Hold, holds, peak

EPOCH = "1970-01-01T00:00:{:02}.000000Z"


def event(second: int, verb: str, who: str, name: str = "a", subresource: str = "", code: int = 200, **target: str) -> dict[str, Any]:
    what = {"resource": "pods", "namespace": "team", "name": name, "subresource": subresource, **target}
    return {
        "verb": verb,
        "user": {"username": who},
        "objectRef": what,
        "responseStatus": {"code": code},
        "stageTimestamp": EPOCH.format(second),
    }


def bound(second: int, name: str = "a", **target: str) -> dict[str, Any]:
    return event(second, "create", "system:kube-scheduler", name, "binding", 201, **target)


def test_a_pod_holds_from_its_binding_until_its_kubelet_deletes_it_not_until_somebody_asks_for_that() -> None:
    log = [bound(2), event(5, "delete", "system:serviceaccount:kube-system:replicaset-controller"), event(9, "delete", "system:node:n1")]
    assert holds(log, "team") == (Hold("a", 2, 9),)


def test_a_simulated_kubelet_counts_as_one_and_a_pod_that_is_there_still_has_no_end() -> None:
    log = [bound(1), bound(2, "b"), event(4, "delete", "lab-kwok")]
    assert holds(log, "team") == (Hold("a", 1, 4), Hold("b", 2))


def test_what_never_had_a_node_or_is_elsewhere_or_was_refused_holds_nothing() -> None:
    log = [
        event(1, "create", "system:serviceaccount:kube-system:replicaset-controller"),
        bound(2, namespace="other"),
        bound(3, resource="deployments"),
        {**bound(4), "responseStatus": {"code": 409}},
        {**bound(5), "responseStatus": None},
        event(6, "delete", "lab-kwok"),
    ]
    assert holds(log, "team") == ()


def test_the_peak_counts_those_that_overlap_and_those_that_only_meet() -> None:
    assert peak([]) == 0
    assert peak([Hold("a", 0, 5), Hold("b", 6, 9), Hold("c", 7)]) == 2
    assert peak([Hold("a", 0, 5), Hold("b", 5, 9)]) == 2
