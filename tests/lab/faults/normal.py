"""A namespace as a flat table of facts, in which two runs of the same workload can be compared."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llm_operator.core import names
from tests.lab.faults.observer import Key, Object, Seen
from tests.lab.faults.plan import open_name

Facts = dict[str, str]
"""Path of a field, beginning with its object, and its value."""

_NOT_COMPARED = frozenset({"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "generateName", "namespace"})
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|\+00:00)")
_NUMBERED = re.compile(r"table-generation$|/table\.json/generation$|/status/table/generation$|/peers\.json/")
"""What counts how often something was written: it only has to rise, which has an oracle of its own."""
_COUNTED = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")
_CUSTOM = frozenset({"llmdeployments", "llmprompts"})


def facts(live: Mapping[Key, Object], namespace: str) -> Facts:
    """Return everything that is there."""
    known = _known(live, namespace)
    found: Facts = {}
    for label, about in _labelled(live):
        for path, value in _leaves(_compared(label.split("/", 1)[0], about), label):
            if not _NUMBERED.search(path):
                found[path] = _told(value, known)
    return found


def differences(one: Facts, other: Facts, mask: frozenset[str]) -> list[str]:
    """Return in words what is not the same, fields of the mask apart."""
    paths = sorted(path for path in one.keys() | other.keys() if path not in mask and one.get(path) != other.get(path))
    return [f"{path}: {one.get(path, 'absent')} -> {other.get(path, 'absent')}" for path in paths]


def mask_of(runs: Iterable[Facts]) -> frozenset[str]:
    """Return the paths at which clean runs differ from each other."""
    first, *others = runs
    return frozenset(path for other in others for path in first.keys() | other.keys() if first.get(path) != other.get(path))


def comings(seen: Iterable[Seen]) -> Counter[str]:
    """Return how often objects of each name came and went."""
    counted: Counter[str] = Counter()
    for each in seen:
        if each.event in {"ADDED", "DELETED"}:
            counted[f"{each.event} {each.resource} {_name(each.resource, each.object)}"] += 1
    return counted


def _name(resource: str, about: Object) -> str:
    """Return a name without what is different in each run."""
    metadata = about["metadata"]
    if "generateName" in metadata and resource != "pods":
        return f"{metadata['generateName']}*"
    return open_name(resource, metadata["name"])


def _labelled(live: Mapping[Key, Object]) -> Iterator[tuple[str, Object]]:
    """Yield each object with a name that is the same in every run: where the server gave the name, objects are numbered."""
    numbers: Counter[str] = Counter()
    for (resource, name), about in sorted(live.items()):
        if "generateName" in about["metadata"]:
            label = f"{resource}/{_name(resource, about)}{about['metadata'].get('labels', {}).get(names.LABEL_ENGINE, '')}"
            numbers[label] += 1
            yield f"{label}#{numbers[label]}", about
        else:
            yield f"{resource}/{name}", about


def _compared(resource: str, about: Object) -> Object:
    """Return what counts of an object: of what others have a hand in, only what the operator decides or relies on."""
    metadata = {name: value for name, value in about["metadata"].items() if name not in _NOT_COMPARED}
    if "generateName" in about["metadata"]:
        del metadata["name"]
    if resource == "pods":
        ready = [each["status"] for each in about.get("status", {}).get("conditions", []) if each["type"] == "Ready"]
        kept = {name: metadata[name] for name in ("labels", "deletionTimestamp") if name in metadata}
        kept["labels"] = {name: value for name, value in kept.get("labels", {}).items() if name != "pod-template-hash"}
        return {"metadata": kept, "ready": ready, "phase": about.get("status", {}).get("phase")}
    rest = {name: value for name, value in about.items() if name not in {"metadata", "status", "apiVersion", "kind"}}
    if resource in _CUSTOM:
        rest["status"] = _lasting(about.get("status", {}))
    elif resource == "deployments":
        rest["status"] = {name: about.get("status", {}).get(name, 0) for name in _COUNTED}
        metadata["annotations"] = {
            k: v for k, v in metadata.get("annotations", {}).items() if not k.startswith("deployment.kubernetes.io/")
        }
    return {"metadata": metadata, **rest}


def _lasting(status: Object) -> Object:
    """Return a status without what it remembers of how quick pods were: one that is ready at the first look was never waited for."""
    lasting = {name: value for name, value in status.items() if name != "startup"}
    if "history" in status:
        lasting["history"] = [each for each in status["history"] if each["state"] != "Warming"]
    return lasting


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name in sorted(value):
            yield from _leaves(value[name], f"{path}/{name}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            label = each.get("type") or each.get("name") if isinstance(each, dict) else None
            yield from _leaves(each, f"{path}/{label or index}")
    elif isinstance(value, str) and value[:1] == "{":
        try:
            inner = json.loads(value)
        except ValueError:
            yield path, value
        else:
            yield from _leaves(inner, path)
    else:
        yield path, str(value)


def _known(live: Mapping[Key, Object], namespace: str) -> dict[str, str]:
    """Return the words that differ from run to run although they mean the same: whoever else's uid stays as it is, and is told."""
    known = {namespace: "<namespace>"}
    for (resource, name), about in live.items():
        uid = about["metadata"]["uid"]
        known[uid] = f"<uid of {resource}/{name}>"
        if resource == "llmdeployments":
            known[names.pod_token(uid)] = f"<token of {name}>"
    return known


def _told(value: str, known: Mapping[str, str]) -> str:
    for word, meaning in known.items():
        if word in value:
            value = value.replace(word, meaning)
    return _TIME.sub("<time>", value)
