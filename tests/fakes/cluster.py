"""The Cluster port in memory: enough of an API server to test everything above it, with faults on demand."""

import itertools
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_operator.core.kinds import BY_KIND, LLM_DEPLOYMENT, LLM_PROMPT, Kind
from llm_operator.core.names import FIELD_MANAGER, STATUS_MANAGER
from llm_operator.shell.errors import ApiError, ConflictError, NotFoundError, StaleError
from llm_operator.shell.ports import Manifest, Manifests
from llm_operator.shell.versions import is_before
from tests.data.wire import copied

Address = tuple[str, str, str]


@dataclass(frozen=True)
class Call:
    """One request: what was done to what."""

    verb: str
    kind: str
    name: str = ""

    @property
    def writes(self) -> bool:
        """Return whether the request changes anything."""
        return self.verb not in {"get", "list", "serves"}


@dataclass
class Fault:
    """An error that matching requests end with, a number of times; with ``after`` the write happens before its answer is lost."""

    error: ApiError
    matches: Callable[[Call], bool]
    times: int = 1
    after: bool = False
    fired: int = 0

    def take(self, call: Call, *, after: bool) -> bool:
        """Return whether this request fails now."""
        if self.after != after or self.fired >= self.times or not self.matches(call):
            return False
        self.fired += 1
        return True


@dataclass
class FakeCluster:
    """Objects by kind, namespace and name. ``calls`` is everything that was asked of it."""

    objects: dict[Address, Manifest] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    lagging: bool = False
    """Lists are of the time when nothing was there."""
    served: frozenset[Kind] = frozenset({LLM_DEPLOYMENT, LLM_PROMPT})
    _numbers: Iterable[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def writes(self) -> list[Call]:
        """Return the requests that change something."""
        return [call for call in self.calls if call.writes]

    def put(self, manifest: Manifest) -> Manifest:
        """Store an object as some other client would."""
        live = copied(manifest)
        metadata = live["metadata"]
        metadata.setdefault("namespace", "ns")
        metadata.setdefault("uid", f"uid-{self._next()}")
        metadata.setdefault("generation", 1)
        metadata["resourceVersion"] = str(self._next())
        self.objects[live["kind"], metadata["namespace"], metadata["name"]] = live
        return copied(live)

    def edit(self, kind: Kind, name: str, change: Callable[[Manifest], None], namespace: str = "ns") -> Manifest:
        """Change an object as some other client would; a changed spec gets a new generation."""
        live = self.objects[kind.kind, namespace, name]
        before = copied(live)
        change(live)
        self._touch(before, live)
        return copied(live)

    def find(self, kind: Kind, name: str, namespace: str = "ns") -> Manifest | None:
        """Return an object, or None."""
        return copied(self.objects.get((kind.kind, namespace, name)))

    def all(self, kind: Kind) -> Manifests:
        """Return all objects of a kind."""
        return [copied(live) for (name, _, _), live in self.objects.items() if name == kind.kind]

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        """Return one object or raise NotFoundError."""
        self._called(Call("get", kind.kind, name))
        return copied(self._live(kind, namespace, name))

    async def list(
        self, kind: Kind, namespace: str | None, *, labels: str = "", metadata_only: bool = False, not_before: str = ""
    ) -> Manifests:
        """Return the objects of a kind that carry the labels."""
        self._called(Call("list", kind.kind))
        if self.lagging and is_before("0", not_before):
            raise StaleError(200, "StaleAnswer", "the list is from the past")
        found = [
            live
            for (name, where, _), live in (() if self.lagging else self.objects.items())
            if name == kind.kind and namespace in {None, where} and _selects(labels, live["metadata"].get("labels", {}))
        ]
        shown = [{key: each[key] for key in ("apiVersion", "kind", "metadata")} for each in found] if metadata_only else found
        return copied(shown)

    async def pages(self, kind: Kind, namespace: str | None, *, size: int) -> AsyncIterator[Manifests]:
        """Return the objects of a kind page by page."""
        found = await self.list(kind, namespace)
        for begin in range(0, max(len(found), 1), size):
            yield found[begin : begin + size]

    async def apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        """Apply an object: what it names is set, what it named the last time and does not now is removed."""
        call = Call("apply", manifest["kind"], manifest["metadata"]["name"])
        self._called(call)
        live = self._apply(copied(manifest), force=force)
        self._answered(call)
        return copied(live)

    async def apply_status(self, manifest: Manifest) -> Manifest:
        """Replace the status of an object."""
        metadata = manifest["metadata"]
        call = Call("status", manifest["kind"], metadata["name"])
        self._called(call)
        live = self._live(BY_KIND[manifest["kind"]], metadata["namespace"], metadata["name"])
        self._require(metadata.get("resourceVersion"), live)
        before = copied(live)
        live["status"] = copied(manifest["status"])
        self._own(live, {"status": live["status"]}, STATUS_MANAGER, "status")
        self._touch(before, live)
        self._answered(call)
        return copied(live)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete exactly the object with this uid, and what it owns."""
        call = Call("delete", kind.kind, name)
        self._called(call)
        live = self.objects.get((kind.kind, namespace, name))
        if live is not None and live["metadata"]["uid"] == uid:
            self.remove(kind, name, namespace)
        self._answered(call)

    async def annotate(self, kind: Kind, namespace: str, name: str, annotations: Mapping[str, str]) -> None:
        """Set annotations."""
        call = Call("annotate", kind.kind, name)
        self._called(call)
        live = self._live(kind, namespace, name)
        before = copied(live)
        live["metadata"]["annotations"] = live["metadata"].get("annotations", {}) | annotations
        self._touch(before, live)
        self._answered(call)

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Create an object, or raise ConflictError."""
        metadata = manifest["metadata"]
        call = Call("create", kind.kind, metadata["name"])
        self._called(call)
        if (kind.kind, metadata["namespace"], metadata["name"]) in self.objects:
            raise ConflictError(409, "AlreadyExists", f"{kind.plural} {metadata['name']!r} already exists")
        live = self.put(manifest)
        self._answered(call)
        return live

    async def update(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Replace an object of a version, or raise ConflictError."""
        metadata = manifest["metadata"]
        call = Call("update", kind.kind, metadata["name"])
        self._called(call)
        live = self._live(kind, metadata["namespace"], metadata["name"])
        self._require(metadata.get("resourceVersion"), live)
        before = copied(live)
        live["spec"] = copied(manifest["spec"])
        self._touch(before, live)
        self._answered(call)
        return copied(live)

    async def serves(self, kind: Kind) -> bool:
        """Return whether the kind is served."""
        self._called(Call("serves", kind.kind))
        return kind in self.served

    def remove(self, kind: Kind, name: str, namespace: str = "ns") -> None:
        """Delete an object as some other client would; the garbage collector takes what it owned."""
        gone = self.objects.pop((kind.kind, namespace, name))["metadata"]["uid"]
        for (_, where, owned), live in list(self.objects.items()):
            if any(owner["uid"] == gone for owner in live["metadata"].get("ownerReferences", [])):
                self.remove(BY_KIND[live["kind"]], owned, where)

    def _apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        metadata = manifest["metadata"]
        precondition = metadata.pop("resourceVersion", None)
        address = (manifest["kind"], metadata["namespace"], metadata["name"])
        live = self.objects.get(address)
        if live is None and "uid" in metadata:
            raise ConflictError(409, "Conflict", "uid mismatch: the provided object specified a uid, and no existing object was found")
        if live is None:
            self.put(manifest)
            live = self.objects[address]
        else:
            self._require(precondition, live)
            before = copied(live)
            if not force and any(entry["manager"] != FIELD_MANAGER for entry in live["metadata"].get("managedFields", [{"manager": ""}])):
                raise ConflictError(409, "Conflict", "conflict with another field manager")
            _remove(live, self._owned(live))
            _merge(live, manifest)
            self._touch(before, live)
        self._own(live, manifest, FIELD_MANAGER)
        return live

    def _own(self, live: Manifest, applied: Manifest, manager: str, subresource: str = "") -> None:
        content = {key: value for key, value in applied.items() if key not in {"apiVersion", "kind", "metadata"}}
        metadata = {key: value for key, value in applied.get("metadata", {}).items() if key in {"labels", "annotations", "ownerReferences"}}
        fields = _fields(content) | ({"f:metadata": _fields(metadata)} if metadata else {})
        entry = {"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": fields, "subresource": subresource}
        others = [each for each in live["metadata"].get("managedFields", []) if each["manager"] != manager]
        live["metadata"]["managedFields"] = [*others, {key: value for key, value in entry.items() if value}]

    def _owned(self, live: Manifest) -> dict[str, Any]:
        entries = live["metadata"].get("managedFields", [])
        return next((each["fieldsV1"] for each in entries if each["manager"] == FIELD_MANAGER), {})

    def _touch(self, before: Manifest, live: Manifest) -> None:
        """Give a changed object a new version, and a new generation when it is not only status or metadata."""
        if _content(before) == _content(live) and _seen(before) == _seen(live):
            return
        live["metadata"]["resourceVersion"] = str(self._next())
        if _content(before) != _content(live):
            live["metadata"]["generation"] = live["metadata"].get("generation", 1) + 1

    def _require(self, precondition: str | None, live: Manifest) -> None:
        if precondition not in {None, live["metadata"]["resourceVersion"]}:
            raise ConflictError(409, "Conflict", "the object has been modified; please apply your changes to the latest version")

    def _live(self, kind: Kind, namespace: str, name: str) -> Manifest:
        live = self.objects.get((kind.kind, namespace, name))
        if live is None:
            raise NotFoundError(404, "NotFound", f"{kind.plural} {name!r} not found")
        return live

    def _called(self, call: Call) -> None:
        self.calls.append(call)
        for fault in self.faults:
            if fault.take(call, after=False):
                raise fault.error

    def _answered(self, call: Call) -> None:
        for fault in self.faults:
            if fault.take(call, after=True):
                raise fault.error

    def _next(self) -> int:
        return next(iter(self._numbers))


def _selects(selector: str, labels: Mapping[str, str]) -> bool:
    """Return whether labels are selected by ``a=b`` and ``a in (b,c)``."""
    for name, wanted, values in re.findall(r"([^,= ]+)(?:=([^,]*)| in \(([^)]*)\))", selector):
        if labels.get(name) not in (values.split(",") if values else [wanted]):
            return False
    return True


def _content(live: Manifest) -> Manifest:
    return {key: value for key, value in live.items() if key not in {"metadata", "status"}}


def _seen(live: Manifest) -> str:
    metadata = {key: value for key, value in live["metadata"].items() if key not in {"resourceVersion", "managedFields", "generation"}}
    return json.dumps([metadata, live.get("status")], sort_keys=True)


def _fields(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fieldsV1 of content; lists count as atomic."""
    return {f"f:{key}": _fields(value) if isinstance(value, dict) else {} for key, value in content.items()}


def _merge(live: Manifest, manifest: Mapping[str, Any]) -> None:
    for key, value in manifest.items():
        if isinstance(value, dict) and isinstance(live.get(key), dict):
            _merge(live[key], value)
        else:
            live[key] = copied(value)


def _remove(live: Manifest, fields: Mapping[str, Any]) -> None:
    """Take out the leaves that were applied before; those still wanted come back with the merge."""
    for step, below in fields.items():
        key = step.removeprefix("f:")
        if below and isinstance(live.get(key), dict):
            _remove(live[key], below)
        elif key in live:
            del live[key]
