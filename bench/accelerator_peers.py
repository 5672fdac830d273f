"""What other ways to let a change in by steps take for it, by their documented rules: computed, not run."""

from math import ceil

ARGO_ROLLOUTS = "Argo Rollouts"
FLAGGER = "Flagger"

SOURCES = {
    ARGO_ROLLOUTS: (
        "canary with traffic routing, dynamicStableScale not set: the stable ReplicaSet stays at 100 % for the whole update "
        "while the canary grows to the same size "
        "(https://argo-rollouts.readthedocs.io/en/stable/features/canary/#dynamic-stable-scale-with-traffic-routing)"
    ),
    FLAGGER: (
        "the canary is scaled to its own replicas beside the primary, then its template is copied over the primary, whose rolling "
        "update has to finish before the canary is scaled to zero; a Deployment's maxSurge is 25 % where nothing is said, rounded up "
        "(https://docs.flagger.app/usage/how-it-works, "
        "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#max-surge)"
    ),
}


def argo_rollouts(replicas: int) -> int:
    """Return the peak: stable and canary, both whole."""
    return 2 * replicas


def flagger(replicas: int) -> int:
    """Return the peak: primary and canary, both whole, and what the primary's own rolling update adds."""
    return 2 * replicas + ceil(replicas / 4)


PEAKS = {ARGO_ROLLOUTS: argo_rollouts, FLAGGER: flagger}
