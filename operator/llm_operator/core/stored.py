"""What ControllerRevisions hold: the engines and revisions there have been, as they were made."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_operator.core import names
from llm_operator.core.canonical import HASH_VERSION, alike
from llm_operator.core.kinds import CONTROLLER_REVISION, Kind
from llm_operator.core.observed import Obj
from llm_operator.core.render.meta import Owner
from llm_sidecar.bundle import Bundle, BundleError, decode, encode

REFRESH = "refresh"
"""In the inputs of an engine: how often the template for this spec has been rendered anew; absent is never."""

REQUESTED = "requested"
"""In the inputs of an engine: the names of its profiles, by which their contents are found again when the resolutions are lost."""

_NOTES = frozenset({REFRESH, REQUESTED})
"""What is noted with the inputs of an engine but does not tell them from others."""


@dataclass(frozen=True)
class Engine:
    """One engine: what it was made from and the pod template that came of it, nothing stamped in.

    ``origin`` is what it was made from first, when other inputs have led to the same pods since.
    """

    id: str
    inputs: Mapping[str, Any]
    template: dict[str, Any]
    origin: Mapping[str, Any] | None = None

    @property
    def made_from(self) -> tuple[Mapping[str, Any], ...]:
        """Return all inputs known to lead to this engine, the newest first."""
        return (self.inputs,) if self.origin is None else (self.inputs, self.origin)

    @property
    def data(self) -> dict[str, Any]:
        """Return the data of its ControllerRevision."""
        return {"hashVersion": HASH_VERSION, "kind": "engine", "inputs": dict(self.origin or self.inputs), "template": self.template}

    def rendering(self, inputs: Mapping[str, Any]) -> int | None:
        """Return which rendering for these inputs it is, counted from 0; None when they do not lead to it."""
        wanted = _told(inputs)
        counts = [_count(each) for each in self.made_from if alike(_told(each), wanted)]
        return max(counts, default=None)


@dataclass(frozen=True)
class Revision:
    """One revision: an engine and a bundle. Its data has the bundle as text, for the server rounds numbers of JSON it understands."""

    id: str
    engine: str
    bundle: Bundle
    inputs: Mapping[str, Any]

    @property
    def prompt_digest(self) -> str:
        """Return the digest of its prompt, or nothing when it has none."""
        return self.bundle.prompt.digest if self.bundle.prompt else ""

    @property
    def data(self) -> dict[str, Any]:
        """Return the data of its ControllerRevision."""
        return {"hashVersion": HASH_VERSION, "kind": "revision", "inputs": dict(self.inputs), "bundle": encode(self.bundle).decode()}


@dataclass(frozen=True)
class Stored:
    """Everything that is stored, newest first."""

    engines: tuple[Engine, ...] = ()
    revisions: tuple[Revision, ...] = ()

    @classmethod
    def of(cls, owner: Owner, owned: Mapping[tuple[Kind, str], Obj]) -> "Stored":
        """Read the ControllerRevisions among the objects of an owner; what cannot be read is as good as lost."""
        found = [(name, each) for (kind, name), each in owned.items() if kind == CONTROLLER_REVISION]
        found.sort(key=lambda pair: (pair[1]["metadata"].get("creationTimestamp", ""), pair[0]), reverse=True)
        pairs = [(name.removeprefix(names.child(owner.name, "")), each.get("data") or {}) for name, each in found]
        engines = tuple(
            _engine(identity, data, each["metadata"])
            for (identity, data), (_, each) in zip(pairs, found, strict=True)
            if _is(data, "engine", "template")
        )
        return cls(engines, tuple(each for identity, data in pairs if (each := _revision(identity, data)) is not None))

    def engine(self, identity: str) -> Engine | None:
        """Return an engine by id."""
        return next((each for each in self.engines if each.id == identity), None)

    def engine_from(self, inputs: Mapping[str, Any]) -> Engine | None:
        """Return the last engine rendered for these inputs: its template is used again, so that an upgrade restarts nothing.

        Renderings are counted in what is stored. Times would not do: a ControllerRevision that was lost is made again later.
        """
        counted = [(count, each) for each in self.engines if (count := each.rendering(inputs)) is not None]
        return max(counted, key=lambda pair: pair[0])[1] if counted else None

    def revision(self, identity: str) -> Revision | None:
        """Return a revision by id."""
        return next((each for each in self.revisions if each.id == identity), None)

    def revision_of(self, engine: str, bundle: Bundle) -> Revision | None:
        """Return the revision of an engine and a bundle under the id it was given, whatever their hash would be today."""
        return next((each for each in self.revisions if (each.engine, each.bundle) == (engine, bundle)), None)


def _told(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in inputs.items() if key not in _NOTES}


def _count(inputs: Mapping[str, Any]) -> int:
    count = inputs.get(REFRESH)
    return count if isinstance(count, int) else 0


def _engine(identity: str, data: Mapping[str, Any], metadata: Mapping[str, Any]) -> Engine:
    try:
        newer = json.loads((metadata.get("annotations") or {})[names.ANNOTATION_INPUTS])
    except (KeyError, ValueError):
        newer = None
    if isinstance(newer, dict):
        return Engine(identity, newer, data["template"], data["inputs"])
    return Engine(identity, data["inputs"], data["template"])


def _is(data: Mapping[str, Any], kind: str, content: str) -> bool:
    return data.get("kind") == kind and isinstance(data.get("inputs"), dict) and isinstance(data.get(content), dict | str)


def _revision(identity: str, data: Mapping[str, Any]) -> Revision | None:
    if not _is(data, "revision", "bundle"):
        return None
    try:
        bundle = decode(str(data["bundle"]).encode())
    except BundleError:
        return None
    return Revision(identity, str(data["inputs"].get("engine", "")), bundle, data["inputs"])
