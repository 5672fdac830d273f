import itertools
from collections.abc import Sized
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf
import pytest

from llm_operator.core import kinds
from llm_operator.core.kinds import Kind
from llm_operator.shell.cluster import Credentials
from llm_operator.shell.queue import Key
from llm_operator.shell.triggers import Patience, connection_info, key_of, settings


def body(name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns", **({"labels": labels} if labels else {})}}


@pytest.mark.parametrize("kind", kinds.CUSTOM, ids=lambda kind: kind.kind)
def test_a_custom_resource_is_its_own_key(kind: Kind) -> None:
    assert key_of(kind, body("chat")) == Key(kind.kind, "ns", "chat")


def test_a_child_says_by_label_whose_it_is() -> None:
    assert key_of(kinds.SERVICE, body("chat-x", {"llmops.dev/deployment": "chat"})) == Key("LLMDeployment", "ns", "chat")


def test_a_child_that_lost_the_label_says_by_its_owner_whose_it_is() -> None:
    stripped = body("chat-x")
    stripped["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "other"}, {"kind": "LLMDeployment", "name": "chat"}]
    assert key_of(kinds.SERVICE, stripped) == Key("LLMDeployment", "ns", "chat")


def test_an_object_without_the_label_is_nobodys() -> None:
    assert key_of(kinds.SERVICE, body("chat-x")) is None


def test_only_what_carries_our_label_is_watched() -> None:
    selectors = settings().watching.label_selectors
    for kind in kinds.WATCHED:
        resource = kopf.Resource(group=kind.group, version=kind.version, plural=kind.plural, kind=kind.kind, namespaced=True)
        assert selectors.collect(resource) == ["app.kubernetes.io/managed-by=llm-operator"]
    ours = kopf.Resource(group="llmops.dev", version="v1alpha1", plural="llmdeployments", kind="LLMDeployment", namespaced=True)
    assert selectors.collect(ours) == []


def test_kopf_joins_no_peering_scans_nothing_and_posts_nothing() -> None:
    chosen = settings()
    assert chosen.peering.standalone
    assert chosen.scanning.disabled
    assert not chosen.posting.enabled
    assert "zalando" not in chosen.persistence.finalizer


def test_kopf_speaks_as_we_do_and_takes_a_token_anew_before_it_is_old() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    lent = Credentials("https://api", "/ca", "Bearer", "t", None, None, verify=True)
    info = connection_info(lent, now)
    assert (info.server, info.ca_path, info.as_http_headers()) == ("https://api", "/ca", {"Authorization": "Bearer t"})
    assert info.expiration == now + timedelta(minutes=10)


def test_a_certificate_does_not_expire_by_the_minute() -> None:
    lent = Credentials("https://api", "/ca", None, None, "/cert", "/key", verify=False)
    info = connection_info(lent, datetime(2026, 1, 1, tzinfo=UTC))
    assert (info.certificate_path, info.private_key_path, info.insecure, info.expiration) == ("/cert", "/key", True, None)


def test_kopf_never_gives_up_asking() -> None:
    pauses = settings().networking.error_backoffs
    assert isinstance(pauses, Patience)
    assert not isinstance(pauses, Sized)  # kopf counts the pauses of anything that has a length
    for _ in range(2):
        assert list(itertools.islice(pauses, 6)) == [1, 2, 4, 8, 15, 15]
