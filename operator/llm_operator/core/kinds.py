"""Every kind the operator touches and what it may do with it: the one table behind the client's paths and the chart's Role."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One API resource, and what the operator needs on it: ``verbs`` on objects, ``status_verbs`` on their status.

    ``finalizers_verbs`` is asked for only where the admission plugin OwnerReferencesPermissionEnforcement is on (OpenShift has it on by
    default): without ``update`` there nobody may make an object whose ownerReference says ``blockOwnerDeletion``, as every child's does.
    """

    group: str
    version: str
    plural: str
    kind: str
    verbs: tuple[str, ...] = ()
    status_verbs: tuple[str, ...] = ()
    finalizers_verbs: tuple[str, ...] = ()
    namespaced: bool = True

    def __hash__(self) -> int:
        """Kinds are keys nearly everywhere, and hardly two of them have the same plural."""
        return hash(self.plural)

    @property
    def rights(self) -> dict[str, tuple[str, ...]]:
        """Return the verbs by resource, subresources included, that the operator needs on this kind."""
        found = {
            self.plural: self.verbs,
            f"{self.plural}/status": self.status_verbs,
            f"{self.plural}/finalizers": self.finalizers_verbs,
        }
        return {resource: verbs for resource, verbs in found.items() if verbs}

    @property
    def api_version(self) -> str:
        """Return the apiVersion of manifests of this kind."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the URL path of one object, or of the collection when there is no name; no namespace means all of them."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


_CHILD = ("get", "list", "create", "patch", "delete")
_WATCHED_CHILD = ("get", "list", "watch", "create", "patch", "delete")
_KEPT_CHILD = ("get", "list", "watch", "create", "patch")
"""Of what each LLMDeployment has exactly one, for as long as it is there; the garbage collector removes it."""

LLM_DEPLOYMENT = Kind("llmops.dev", "v1alpha1", "llmdeployments", "LLMDeployment", ("get", "list", "watch"), ("patch",), ("update",))
LLM_PROMPT = Kind("llmops.dev", "v1alpha1", "llmprompts", "LLMPrompt", ("get", "list", "watch"), ("patch",))
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment", _WATCHED_CHILD)
CONTROLLER_REVISION = Kind("apps", "v1", "controllerrevisions", "ControllerRevision", _WATCHED_CHILD)
SERVICE = Kind("", "v1", "services", "Service", _WATCHED_CHILD)
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap", _WATCHED_CHILD)
JOB = Kind("batch", "v1", "jobs", "Job", _CHILD)
POD = Kind("", "v1", "pods", "Pod", ("list", "watch", "patch"))
POD_DISRUPTION_BUDGET = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", _KEPT_CHILD)
NETWORK_POLICY = Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", _KEPT_CHILD)
EVENT = Kind("events.k8s.io", "v1", "events", "Event", ("create", "patch"))
HTTP_ROUTE = Kind("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute", _WATCHED_CHILD)
HORIZONTAL_POD_AUTOSCALER = Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", ("list",))
SCALED_OBJECT = Kind("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject", ("list",))

LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease", ("get", "create", "update"))
"""Of the operator's own namespace, by one name; so it is none of ``ALL``, which are rights in the namespaces it serves."""

CUSTOM: tuple[Kind, ...] = (LLM_DEPLOYMENT, LLM_PROMPT)
CHILDREN: tuple[Kind, ...] = (
    DEPLOYMENT,
    SERVICE,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    JOB,
    POD_DISRUPTION_BUDGET,
    NETWORK_POLICY,
)
WATCHED: tuple[Kind, ...] = (DEPLOYMENT, SERVICE, CONFIG_MAP, CONTROLLER_REVISION, POD_DISRUPTION_BUDGET, NETWORK_POLICY, POD)
ALL: tuple[Kind, ...] = (*CUSTOM, *CHILDREN, POD, EVENT)
OPTIONAL: tuple[Kind, ...] = (HTTP_ROUTE,)
"""Children of those who ask for them, of kinds a cluster need not have; the rights on them are granted where the chart is told to."""
SCALERS: tuple[Kind, ...] = (HORIZONTAL_POD_AUTOSCALER, SCALED_OBJECT)
"""Of others, and read only to know whether they set the number of replicas that the load is to decide; the right is granted by default."""
ASIDE: frozenset[Kind] = frozenset({JOB, *OPTIONAL})
"""Children that serve nobody: what serves is whole without them."""
BY_KIND: dict[str, Kind] = {kind.kind: kind for kind in (*ALL, *OPTIONAL, *SCALERS)}
