"""What of a watch is news: an event that tells nothing a look has not read, or nothing a plan looks at, leads to no look.

This forgets nothing that matters: an event that is dropped in error is made good by the resync, like one that was lost on the way.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from llm_operator.core import kinds, names
from llm_operator.core.kinds import Kind
from llm_operator.shell.queue import Key
from llm_operator.shell.versions import is_before

_REMEMBERED = 100_000
_GONE = 100
"""Deployments: one that was made anew under its name is looked at within seconds."""
_DOUBT_S = 60.0
"""A server that lags behind has caught up by then."""
_REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
_BLANK = "blank"
"""What is to be seen of a pod of which nobody has said anything yet."""
_ON_ITS_WAY = frozenset({"ContainerCreating", "PodInitializing"})


class Hint(NamedTuple):
    """One event: whose object it is about, which version of which object, and what of it a plan would look at."""

    key: Key
    kind: Kind
    uid: str
    version: str
    content: Hashable
    gone: bool = False


Deliver = Callable[[Hint], None]


def key_of(kind: Kind, body: Mapping[str, Any]) -> Key | None:
    """Return the custom resource an event is about; a child says by label whose it is, or without one by its owner."""
    metadata = body["metadata"]
    if kind in kinds.CUSTOM:
        return Key(kind.kind, metadata["namespace"], metadata["name"])
    owners = (each["name"] for each in metadata.get("ownerReferences") or [] if each.get("kind") == kinds.LLM_DEPLOYMENT.kind)
    deployment = (metadata.get("labels") or {}).get(names.LABEL_DEPLOYMENT) or next(owners, None)
    return Key(kinds.LLM_DEPLOYMENT.kind, metadata["namespace"], deployment) if deployment else None


def hint(key: Key, kind: Kind, body: Mapping[str, Any], *, gone: bool) -> Hint:
    """Return what an event tells."""
    metadata = body["metadata"]
    ends = gone and kind == kinds.POD and _is_resolver(body)  # its answer was read before it went, or its Job is asked for it
    return Hint(key, kind, metadata["uid"], metadata["resourceVersion"], _BLANK if ends else content(kind, body), gone)


def content(kind: Kind, body: Mapping[str, Any]) -> Hashable:
    """Return what of an object a plan looks at, where that is less than all of it: controllers count and stamp without end."""
    look = {kinds.DEPLOYMENT: _deployment, kinds.POD: _pod, kinds.POD_DISRUPTION_BUDGET: _budget}.get(kind)
    return look(body) if look else body["metadata"]["resourceVersion"]


@dataclass
class Seen:
    """The version of each object that a look has read or a write of ours has left, by uid, and of each kind how far the watch has come.

    A look at an earlier state may be the last one for long: what it has not seen was told of already, and nothing tells of it again.
    """

    _objects: OrderedDict[str, tuple[str, Hashable]] = field(default_factory=OrderedDict)
    _heard: dict[Kind, str] = field(default_factory=dict)
    _gone: deque[str] = field(default_factory=lambda: deque(maxlen=_GONE))
    _doubted_s: float | None = None

    def note(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """Remember an object as a look has read it, or as the server has answered a write of the same look."""
        metadata = body["metadata"]
        self._objects[metadata["uid"]] = (metadata["resourceVersion"], content(kind, body))
        self._objects.move_to_end(metadata["uid"])
        if len(self._objects) > _REMEMBERED:
            self._objects.popitem(last=False)

    def is_news(self, told: Hint) -> bool:
        """Return whether an event tells what no look has seen."""
        if told.gone:
            self._objects.pop(told.uid, None)
            return told.content != _BLANK
        version, known = self._objects.get(told.uid, ("", _BLANK))
        return told.version != version and not is_before(told.version, version) and told.content != known

    def hear(self, told: Hint) -> None:
        """Remember how far the watch has come, and which deployments are gone: no answer may be from before that."""
        if not is_before(told.version, self._heard.get(told.kind, "")):
            self._heard[told.kind] = told.version
        if told.gone and told.kind == kinds.LLM_DEPLOYMENT:
            self._gone.append(told.uid)

    def not_before(self, kind: Kind) -> str:
        """Return the version which every list of a kind has reached."""
        return self._heard.get(kind, "")

    def is_past(self, body: Mapping[str, Any]) -> bool:
        """Return whether an object was read as it was before it was read or heard of the last time."""
        metadata = body["metadata"]
        return metadata["uid"] in self._gone or is_before(metadata["resourceVersion"], self._objects.get(metadata["uid"], ("",))[0])

    def doubt(self, now_s: float) -> None:
        """Note an answer from the past. If there is no other for long it is the present: a store that was restored has lower versions."""
        if self._doubted_s is None:
            self._doubted_s = now_s
        elif now_s - self._doubted_s > _DOUBT_S:
            self._objects.clear()
            self._heard.clear()
            self._gone.clear()
            self._doubted_s = None

    def trust(self) -> None:
        """Note that everything of a look was of the present."""
        self._doubted_s = None


def _deployment(body: Mapping[str, Any]) -> Hashable:
    """Leave out what its controller counts: pods are looked at themselves."""
    metadata = body["metadata"]
    notes = {name: value for name, value in (metadata.get("annotations") or {}).items() if name != _REVISION_ANNOTATION}
    failing = (("ReplicaFailure", "True"), ("Progressing", "False"))
    conditions = (body.get("status") or {}).get("conditions") or []
    told = [(each["type"], each.get("reason"), each.get("message")) for each in conditions if (each["type"], each["status"]) in failing]
    return metadata.get("generation"), _metadata(body), _digest(notes), _digest(told)


def _budget(body: Mapping[str, Any]) -> Hashable:
    """Leave out what its controller counts."""
    return body["metadata"].get("generation"), _metadata(body), _digest(body["metadata"].get("annotations") or {})


def _pod(body: Mapping[str, Any]) -> Hashable:
    """Leave out where it was placed and when."""
    status = body.get("status") or {}
    told = [(each["type"], each["status"], each.get("message")) for each in status.get("conditions") or [] if _counts(each)]
    states = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    if _is_resolver(body):
        states = [each for each in states if _speaks(each.get("state") or {})]
    elif status.get("phase", "Pending") != "Pending" or "deletionTimestamp" in body["metadata"]:
        told.append(("", status.get("phase", ""), status.get("podIP")))
    return (_metadata(body), _digest(told), _digest(states)) if told or states else _BLANK


def _counts(condition: Mapping[str, Any]) -> bool:
    return (condition["type"], condition["status"]) in {("Ready", "True"), ("PodScheduled", "False")}


def _speaks(state: Mapping[str, Any]) -> bool:
    """Return whether a resolver's container has ended, or is kept from running."""
    return "terminated" in state or state.get("waiting", {}).get("reason", "ContainerCreating") not in _ON_ITS_WAY


def _is_resolver(body: Mapping[str, Any]) -> bool:
    return any(each.get("kind") == kinds.JOB.kind for each in body["metadata"].get("ownerReferences") or [])


def _metadata(body: Mapping[str, Any]) -> int:
    """Leave out that a resolver's pod goes: its answer is in what it said before."""
    metadata = body["metadata"]
    owners = [each.get("uid") for each in metadata.get("ownerReferences") or []]
    return _digest([metadata.get("labels"), owners, None if _is_resolver(body) else metadata.get("deletionTimestamp")])


def _digest(value: Any) -> int:
    return hash(repr(value))
