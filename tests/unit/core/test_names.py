import base64
import hashlib

from llm_operator.core import names
from tests.unit.core.builders import UID


def test_the_pod_token_is_the_one_the_pods_are_told() -> None:
    assert names.pod_token(UID) == base64.b32encode(hashlib.sha256(f"llm-pod:{UID}".encode()).digest()).decode()[:32]
    assert names.pod_token("a") != names.pod_token("b")


def test_the_longest_name_still_makes_names_kubernetes_takes() -> None:
    longest = "a" * 40
    for name in (names.snapshot(longest), names.child(longest, "x" * 10), names.resolve_job(longest, "x" * 10), names.secret(longest)):
        assert name.startswith(longest)
        assert len(name) <= 63
