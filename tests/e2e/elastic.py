"""A deployment that follows its load, for the tests of that: its pods have few places, so that a few streams are much. Stub engines."""

from tests.e2e import kit
from tests.e2e.manifests import deployment
from tests.lab.wait import WaitTimeoutError, until

NS = "llm-e2e"
PLACES = 12
"""Requests that a pod works on at a time."""
STREAM_S = (4, 6)
MORE, NEEDED = 16, 3
"""Streams that are a step up from five, and how many pods it takes then."""
WAIT_S = 180
_STEPS = [{"weightPercent": 20, "minDuration": "2s"}]


def apply(name: str, least: int, context: int = 2048) -> None:
    """Apply a deployment whose pods have few places, and whose engine depends on a context."""
    args = {"max-num-seqs": str(PLACES)}
    engine = {"profile": "stub-slow", "maxModelLen": context, "args": args, "resources": {"cpu": "30m", "memory": "128Mi"}}
    autoscaling = {"mode": "BuiltIn", "minReplicas": least, "maxReplicas": 4, "scaleDownDelay": "1m"}
    rollout = {"engine": {"steps": _STEPS}, "abort": {"keepCanaryFor": "1s"}}
    kit.apply(deployment(name, engine=engine, replicas=least, autoscaling=autoscaling, rollout=rollout), namespace=NS)


def asked(name: str) -> int:
    """Return how many pods the Deployments of a deployment are asked for."""
    return sum(each["spec"]["replicas"] for each in kit.items("deployments", NS, f"llmops.dev/deployment={name}"))


def scaling(name: str) -> kit.Object:
    """Return what is told of its scaling."""
    return dict(kit.llm(name, NS)["status"].get("autoscaling", {}))


def wait_decided(name: str, reason: str, timeout_s: float = WAIT_S) -> None:
    """Wait for a decision with a reason; a timeout says what was decided instead."""
    try:
        until(
            lambda: reason in {each["reason"] for each in scaling(name)["lastDecisions"]}, timeout_s=timeout_s, what=reason, interval_s=0.5
        )
    except WaitTimeoutError as error:
        raise AssertionError(f"{error}: {scaling(name)}") from error
