"""What a plan may ask the shell to do. Plain data: it can be printed, compared and replayed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_operator.core import names
from llm_operator.core.gates.fetched import Question
from llm_operator.core.kinds import BY_KIND, OPTIONAL, SERVICE, Kind
from llm_operator.core.observed import Obj
from llm_operator.core.scaling.decide import Memory
from llm_operator.core.scaling.outlook import Alarm
from llm_operator.core.scaling.sample import Expected


@dataclass(frozen=True)
class Apply:
    """One server-side apply of a whole object.

    A live object carries its uid and resourceVersion and is forced: we own it. A first apply carries neither and is not forced; before it
    the shell looks whether the name is taken, and if so puts what it found into ``Observed.foreign`` and plans again.
    """

    object: Obj
    force: bool

    @property
    def kind(self) -> Kind:
        """Return the kind of the object."""
        return BY_KIND[self.object["kind"]]

    @property
    def name(self) -> str:
        """Return the name of the object."""
        return str(self.object["metadata"]["name"])

    @property
    def first(self) -> bool:
        """Return whether nothing was seen under this name."""
        return not self.force

    @property
    def relied_on(self) -> bool:
        """Return whether what is applied after it is wrong without it: a table that names a Service sends requests there."""
        return self.kind == SERVICE and names.LABEL_ENGINE in self.object["metadata"]["labels"]

    @property
    def is_optional(self) -> bool:
        """Return whether everything else goes on without it."""
        return self.kind in OPTIONAL


@dataclass(frozen=True)
class Delete:
    """One deletion, with the uid as precondition."""

    kind: Kind
    name: str
    uid: str
    reason: str

    @property
    def is_optional(self) -> bool:
        """Return whether everything else goes on without it."""
        return self.kind in OPTIONAL


@dataclass(frozen=True)
class Nudge:
    """Set the annotation ``names.ANNOTATION_GENERATION`` of a pod to ``value``, so that the kubelet syncs the snapshot at once."""

    pod_name: str
    generation: int
    value: str


@dataclass(frozen=True)
class Mark:
    """Set the annotation ``names.ANNOTATION_DELETION_COST`` of a pod, so that it is the one to go when its Deployment is lowered."""

    pod_name: str
    cost: int


@dataclass(frozen=True)
class EventDraft:
    """One Kubernetes Event about the LLMDeployment; ``type`` is Normal or Warning."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True)
class Decision:
    """One thing a plan decided: a reason for machines and a sentence for the log."""

    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """Everything one look leads to, in the order the shell carries it out: marks, applies, deletes, nudges, status, events.

    ``asks`` are the revisions whose statistics the next look needs, ``questions`` what has to be asked elsewhere until then, and
    ``watches`` the engines whose pods tell their load; ``memory`` is what the next decision about that needs, and ``alarm`` when
    that has to come before its time. A deployment that ``sleeps`` is looked at as soon as a request waits in its entry.
    """

    marks: tuple[Mark, ...] = ()
    applies: tuple[Apply, ...] = ()
    deletes: tuple[Delete, ...] = ()
    nudges: tuple[Nudge, ...] = ()
    status: dict[str, Any] = field(default_factory=dict)
    events: tuple[EventDraft, ...] = ()
    decisions: tuple[Decision, ...] = ()
    next_look_s: float | None = None
    asks: frozenset[str] = frozenset()
    watches: Mapping[str, Expected] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    alarm: Alarm | None = None
    questions: tuple[Question, ...] = ()
    sleeps: bool = False
