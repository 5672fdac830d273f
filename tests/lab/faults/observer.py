"""What really happened: every version of every object of the lab's namespaces, as an administrator's watches saw it."""

import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.lab.following import Client, Following, followed

Object = dict[str, Any]
Key = tuple[str, str]
"""Resource and name."""

UNSEEN = frozenset({"events", "endpoints", "endpointslices", "leases", "replicasets", "serviceaccounts", "podtemplates"})
"""Resources whose objects others make of those we look at, or that tell of them."""


@dataclass(frozen=True)
class Seen:
    """One version of an object. ``version`` counts across all kinds, so that it says what came before what."""

    version: int
    event: str
    resource: str
    object: Object

    @property
    def key(self) -> Key:
        """Return which object it is."""
        return self.resource, self.object["metadata"]["name"]


@dataclass
class History:
    """What was seen of one namespace, in the order of arrival, and what is there now."""

    seen: list[Seen] = field(default_factory=list)
    live: dict[Key, Object] = field(default_factory=dict)
    changed_at: float = 0.0

    def heard(self, event: str, resource: str, about: Object) -> None:
        """Take in one event."""
        seen = Seen(int(about["metadata"]["resourceVersion"]), event, resource, about)
        self.seen.append(seen)
        self.changed_at = time.monotonic()
        if event == "DELETED":
            if self.live.get(seen.key, about)["metadata"]["uid"] == about["metadata"]["uid"]:
                self.live.pop(seen.key, None)
        else:
            self.live[seen.key] = about

    def in_order(self) -> list[Seen]:
        """Return what was seen in the order in which it happened."""
        return sorted(self.seen, key=lambda each: each.version)


@dataclass
class Observer:
    """Histories of all namespaces whose names begin with ``prefix``."""

    prefix: str
    histories: dict[str, History] = field(default_factory=lambda: defaultdict(History))

    def heard(self, event: str, resource: str, about: Object) -> None:
        """Take in one event of any namespace."""
        namespace = about["metadata"].get("namespace", "")
        if namespace.startswith(self.prefix):
            self.histories[namespace].heard(event, resource, about)


@asynccontextmanager
async def observing(client: Client, prefix: str) -> AsyncIterator[Observer]:
    """Observe while the context lasts; it begins once every kind has been listed."""
    observer = Observer(prefix)
    following = []
    for resource, path in (await _resources(client)).items():

        def heard(event: str, about: Object, resource: str = resource) -> None:
            observer.heard(event, resource, about)

        following.append(Following(client, path, heard))
    async with followed(*following):
        yield observer


async def _resources(client: Client) -> dict[str, str]:
    """Return all namespaced resources that can be watched, with the paths of their collections."""
    groups = (await client.json("/apis"))["groups"]
    roots = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    found: dict[str, str] = {}
    for root in roots:
        for resource in (await client.json(root))["resources"]:
            name = resource["name"]
            if resource["namespaced"] and "watch" in resource["verbs"] and "/" not in name and name not in UNSEEN:
                found.setdefault(name, f"{root}/{name}")
    return found
