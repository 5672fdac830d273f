"""How many accelerators the pods of one deployment hold, told by a watch: no state between two looks is missed."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Self

from tests.e2e.background import Background
from tests.lab.cluster import Lab
from tests.lab.following import Following, connect

RESOURCE = "nvidia.com/gpu"


@dataclass
class Held:
    """Watches between entering and leaving the context; ``peak`` is the most that was held at a time, by terminating pods too.

    ``least_ready`` is how few pods took requests since it began.
    """

    name: str
    namespace: str
    peak: int = 0
    least_ready: int = 0
    _pods: dict[str, int] = field(default_factory=dict)
    _ready: dict[str, bool] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._background = Background().__enter__()
        self._background.run(self._start(), timeout_s=30)
        return self

    def __exit__(self, *_: object) -> None:
        self._background.__exit__()
        print(f"{self.name}: {self.peak} accelerators held at most, {self.now} at the end")  # noqa: T201  # a figure of the suite

    @property
    def now(self) -> int:
        """Return what is held now."""
        return sum(self._pods.values())

    async def _start(self) -> None:
        listed = asyncio.Event()
        self._following = asyncio.create_task(self._follow(listed))
        await listed.wait()
        self.least_ready = sum(self._ready.values())

    async def _follow(self, listed: asyncio.Event) -> None:
        async with connect(Lab.current().state) as client:
            path = f"/api/v1/namespaces/{self.namespace}/pods"
            await Following(client, path, self._heard, labels=f"llmops.dev/deployment={self.name}", listed=listed).run()

    def _heard(self, event: str, pod: dict[str, Any]) -> None:
        ended = event == "DELETED" or pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
        self._pods[pod["metadata"]["uid"]] = 0 if ended else _accelerators(pod)
        self.peak = max(self.peak, self.now)
        self._ready[pod["metadata"]["uid"]] = not ended and "deletionTimestamp" not in pod["metadata"] and _takes_requests(pod)
        self.least_ready = min(self.least_ready, sum(self._ready.values()))


def _takes_requests(pod: dict[str, Any]) -> bool:
    return any((each["type"], each["status"]) == ("Ready", "True") for each in pod.get("status", {}).get("conditions", []))


def _accelerators(pod: dict[str, Any]) -> int:
    return sum(int(each["resources"].get("requests", {}).get(RESOURCE, 0)) for each in pod["spec"]["containers"])
