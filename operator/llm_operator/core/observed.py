"""What the shell saw when it looked at one LLMDeployment: the only input of a plan besides configuration and time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_operator.core import kinds
from llm_operator.core.gates.fetched import Fetched
from llm_operator.core.kinds import Kind
from llm_operator.core.reasons import Reason
from llm_operator.core.scaling.watched import Watched
from llm_operator.core.telemetry.replies import Heard

Obj = dict[str, Any]
"""A Kubernetes object as the API server sends it."""


@dataclass(frozen=True)
class SidecarReport:
    """What one sidecar said about itself on its admin port.

    ``reaches`` names the other engines it has reached a ready pod of within the last seconds, None for a sidecar of an earlier version,
    which passes nothing on. ``revisions`` is what it can serve itself, ``held`` how many requests wait in it for an engine. ``running``
    and ``queued`` are the requests its own engine serves or has to, ``slots`` how many may run at once; None where it does not say.
    """

    engine: str = ""
    revision: str = ""
    generation: int | None = None
    ready: bool = False
    reason: str = ""
    draining: bool = False
    inflight: int = 0
    error: str = ""
    error_generation: int | None = None
    bundle_schema: int = 1
    reaches: frozenset[str] | None = None
    revisions: frozenset[str] = frozenset()
    held: int = 0
    running: int = 0
    queued: int = 0
    slots: int | None = None


@dataclass(frozen=True)
class Children:
    """Objects that carry the labels of one LLMDeployment, whoever owns them, per kind."""

    deployments: tuple[Obj, ...] = ()
    services: tuple[Obj, ...] = ()
    config_maps: tuple[Obj, ...] = ()
    controller_revisions: tuple[Obj, ...] = ()
    jobs: tuple[Obj, ...] = ()
    pdbs: tuple[Obj, ...] = ()
    network_policies: tuple[Obj, ...] = ()
    http_routes: tuple[Obj, ...] = ()

    def by_kind(self) -> tuple[tuple[Kind, Obj], ...]:
        """Return every child with its kind: items of a LIST do not carry theirs."""
        return tuple(
            (kind, child)
            for kind, children in (
                (kinds.CONTROLLER_REVISION, self.controller_revisions),
                (kinds.CONFIG_MAP, self.config_maps),
                (kinds.SERVICE, self.services),
                (kinds.NETWORK_POLICY, self.network_policies),
                (kinds.HTTP_ROUTE, self.http_routes),
                (kinds.POD_DISRUPTION_BUDGET, self.pdbs),
                (kinds.DEPLOYMENT, self.deployments),
                (kinds.JOB, self.jobs),
            )
            for child in children
        )


@dataclass(frozen=True)
class Observed:
    """One look at an LLMDeployment and all that belongs to it.

    ``pods`` carry the engine label, ``job_pods`` are those of resolver Jobs. ``reports`` are keyed by pod uid, and so are ``statistics``:
    what pods have counted, those that are gone included, while a rollout with gates lasts. ``answers`` are those of Prometheus and
    webhooks by gate, the newest last. ``foreign`` holds objects found under a name the last plan wanted to create, because they lack the
    labels that list children; each must carry its ``kind``. ``watched`` is what pods told of
    their load while that decides how many there are, ``scalers`` what of others sets the number of replicas. ``unreadable`` says of
    optional kinds that could not be listed why.
    """

    deployment: Obj
    prompt: Obj | None = None
    children: Children = Children()
    pods: tuple[Obj, ...] = ()
    job_pods: tuple[Obj, ...] = ()
    reports: Mapping[str, SidecarReport | None] = field(default_factory=dict)
    statistics: Mapping[str, Heard] = field(default_factory=dict)
    answers: Mapping[str, tuple[Fetched, ...]] = field(default_factory=dict)
    foreign: tuple[Obj, ...] = ()
    watched: Watched = field(default_factory=Watched)
    scalers: tuple[Obj, ...] = ()
    unreadable: Mapping[str, Reason] = field(default_factory=dict)
