"""The judge of leadership: what it must find in an audit log."""

from datetime import UTC, datetime
from typing import Any

from tests.lab.ha.terms import Term, identity_of, overlaps, strays, terms, writes

NS, SYSTEM = frozenset({"ns"}), frozenset({"system"})


def event(at: float, who: str, resource: str = "configmaps", verb: str = "patch", code: int = 200, took: float = 0.01) -> dict[str, Any]:
    def stamp(seconds: float) -> str:
        return datetime.fromtimestamp(1_000_000 + seconds, UTC).isoformat()

    return {
        "userAgent": f"llm-operator/0.1.0 ({who})",
        "verb": verb,
        "objectRef": {"resource": resource, "name": "x", "namespace": "system" if resource == "leases" else "ns"},
        "requestReceivedTimestamp": stamp(at),
        "stageTimestamp": stamp(at + took),
        "responseStatus": {"code": code},
    }


def claim(at: float, who: str, code: int = 200) -> dict[str, Any]:
    return event(at, who, "leases", "update", code)


def led(*claims: dict[str, Any]) -> list[Term]:
    return terms(writes(claims, SYSTEM)[0])


def test_an_identity_is_read_from_the_user_agent_of_an_operator_alone() -> None:
    assert identity_of("llm-operator/0.1.0 (pod-1_abc)") == "pod-1_abc"
    assert identity_of("kubectl/v1.37") == identity_of("kopf/1.45 (x)") == ""


def test_terms_follow_from_claims_that_went_through() -> None:
    found = led(claim(0, "a"), claim(2, "a"), claim(3, "b", 409), claim(20, "b"), claim(22, "b"))
    assert [(term.identity, round(term.renewed - term.began, 2)) for term in found] == [("a", 2.01), ("b", 2.01)]


def test_a_lease_claimed_before_it_ran_out_is_found_unless_it_was_given_back() -> None:
    early = led(claim(0, "a"), claim(10, "b"))
    assert overlaps(early, frozenset()) == ["b claimed the Lease 10.0 s after a had renewed it"]
    assert overlaps(early, frozenset({"a"})) == []
    assert overlaps(led(claim(0, "a"), claim(15.01, "b")), frozenset()) == []


def test_who_leads_again_after_somebody_else_is_found() -> None:
    assert overlaps(led(claim(0, "a"), claim(20, "b"), claim(40, "a")), frozenset()) == ["a led again after somebody else had"]


def test_writes_outside_of_a_term_are_found_and_reads_and_others_are_not() -> None:
    found = led(claim(0, "a"), claim(20, "b"))
    events = [
        event(1, "a"),
        event(19, "a"),
        event(19.995, "a", "late"),
        event(25, "a", "after"),
        event(26, "a", "refused", code=409),
        event(10, "b", "early"),
        event(30, "b"),
        event(30, "c", "nobody"),
        event(30, "a", "read", "get"),
        {**event(30, "a", "other"), "userAgent": "kubectl/v1.37"},
    ]
    wrong = strays(found, writes(events, NS)[1])
    assert sorted(write.what for write in wrong) == ["after/x", "early/x", "late/x", "nobody/x", "refused/x"]
    assert [write.what for write in wrong if not write.landed] == ["refused/x"]
