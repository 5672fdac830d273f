"""The two doors to the outside: the cluster and the pods' telemetry. Tests put fakes here and nowhere else."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from typing import Any, Protocol

from llm_operator.core.gates.fetched import Fetched, Question
from llm_operator.core.kinds import Kind
from llm_operator.core.observed import SidecarReport
from llm_operator.core.scaling.decide import Memory
from llm_operator.core.scaling.outlook import Alarm
from llm_operator.core.scaling.sample import Expected
from llm_operator.core.scaling.watched import Watched
from llm_operator.core.telemetry.replies import Heard

Manifest = dict[str, Any]
"""One Kubernetes object as plain data."""

Manifests = list[Manifest]
"""Several of them; named because a class with a method ``list`` cannot say ``list[…]``."""


class Cluster(Protocol):
    """The Kubernetes API as the operator uses it. Objects are plain dicts both ways; failures are ``shell.errors``."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        """Return one object or raise NotFoundError."""
        ...

    async def list(
        self, kind: Kind, namespace: str | None, *, labels: str = "", metadata_only: bool = False, not_before: str = ""
    ) -> Manifests:
        """Return all objects of a kind, in one namespace or, with None, in all; ``metadata_only`` leaves out everything else.

        Raises StaleError for an answer that is older than the version ``not_before``.
        """
        ...

    def pages(self, kind: Kind, namespace: str | None, *, size: int) -> AsyncIterator[Manifests]:
        """Return all objects of a kind page by page, so that they need not all be held at once."""
        ...

    async def apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        """Apply a whole object server-side; a resourceVersion in it is a precondition, without force a foreign field is a ConflictError."""
        ...

    async def apply_status(self, manifest: Manifest) -> Manifest:
        """Apply the status of an object server-side; the resourceVersion in its metadata is a precondition."""
        ...

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete exactly the object with this uid; if it is gone or replaced already there is nothing to do."""
        ...

    async def annotate(self, kind: Kind, namespace: str, name: str, annotations: Mapping[str, str]) -> None:
        """Set annotations and nothing else."""
        ...

    async def serves(self, kind: Kind) -> bool:
        """Return whether the server has this kind."""
        ...


class Telemetry(Protocol):
    """What the sidecars say about themselves, and others of them."""

    async def reports(self, pods: Iterable[Manifest]) -> Mapping[str, SidecarReport | None]:
        """Return a report per pod uid; None for a pod that cannot be asked."""
        ...

    def follow(self, deployment: str, pods: Iterable[Manifest], revisions: Collection[str], questions: Iterable[Question]) -> None:
        """Ask these pods again and again for their statistics of some revisions, and others these questions, until told otherwise."""
        ...

    def watch(
        self, deployment: str, pods: Iterable[Manifest], engines: Mapping[str, Expected], memory: Memory, alarm: Alarm | None = None
    ) -> None:
        """Ask the pods of some engines for their load until told otherwise, keep what the next decision needs, and say when it is due."""
        ...

    def watched(self, deployment: str) -> Watched:
        """Return what the pods that are watched have told so far."""
        ...

    def listen(self, deployment: str, pods: Iterable[Manifest]) -> None:
        """Ask the entry among these pods whether somebody waits, and have the deployment looked at when that is so."""
        ...

    def statistics(self, deployment: str) -> Mapping[str, Heard]:
        """Return what the pods that are followed have told so far, by pod uid."""
        ...

    def answers(self, deployment: str) -> Mapping[str, tuple[Fetched, ...]]:
        """Return the last answers to the questions about a deployment by gate, the newest last."""
        ...
