"""Two engines become four under load: clients that keep their connections find the new pods all the same. Stub engines.

Behind the tests that share the node: shares are only told apart where nothing else takes the time of a pod.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Self

import aiohttp
import pytest

from tests.e2e import figures, kit
from tests.e2e.background import Background
from tests.e2e.manifests import SMALL, deployment
from tests.lab.wait import until

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.alone, pytest.mark.timeout(600)]

NS = "llm-e2e"
NAME = "growing"
SHARE = 0.15
WITHIN_S = 60 if figures.SOAK else 180
WINDOW_S = 20
"""Shares are of what was served within so many seconds."""

Served = dict[str, float]
"""How many requests each pod has served, by its name."""


@dataclass
class Keepers:
    """Clients that ask again and again, each over one connection that it keeps for as long as it may."""

    host: str
    number: int = 200
    every_s: float = 4.0
    asked: int = 0
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._background = Background().__enter__()
        for number in range(self.number):
            self._background.start(self._ask_on(self.every_s * number / self.number))
        return self

    def __exit__(self, *_: object) -> None:
        self._background.__exit__()

    async def _ask_on(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
            while True:
                await asyncio.gather(self._ask(session), asyncio.sleep(self.every_s))

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        self.asked += 1
        body = {"model": NAME, "prompt": "x", "max_tokens": 2}
        try:
            async with session.post(f"http://{self.host}:8080/v1/completions", json=body) as answer:
                data = await answer.read()
                if answer.status != 200:
                    self.failures.append(f"{answer.status}: {data[:200]!r}")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.failures.append(f"{type(error).__name__}: {error}")


def test_two_engines_become_four_and_each_new_one_carries_its_part_within_a_minute() -> None:
    kit.apply(deployment(NAME, replicas=2, **SMALL), namespace=NS)
    kit.wait_settled(NAME, NS, replicas=2)
    old = {pod["metadata"]["name"] for pod in kit.pods_of(NAME, NS)}
    with Keepers(kit.address(NAME, NS)) as clients:
        until(lambda: clients.asked > 2 * clients.number, timeout_s=60, what="every client has a connection")
        kit.kubectl("-n", NS, "scale", "llm", NAME, "--replicas=4")
        kit.wait_settled(NAME, NS, replicas=4)
        carried_s, shares = _watch(old)
    figures.record(
        "scale_out_2_to_4",
        requests=clients.asked,
        failed=len(clients.failures),
        carried_s=carried_s,
        new_share_least=min(share for pod, share in shares.items() if pod not in old),
        skew=max(shares.values()) / min(shares.values()),
    )
    assert clients.failures == []
    assert all(share >= SHARE for pod, share in shares.items() if pod not in old), shares
    kit.kubectl("-n", NS, "delete", "llm", NAME, "--wait=false")


def _watch(old: set[str]) -> tuple[float, Served]:
    """Return after how many seconds each new pod carried its part, and the shares of the last window; in a soak only after all the time."""
    start, history, carried_s = time.monotonic(), [(time.monotonic(), _served())], 0.0
    addresses = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in kit.pods_of(NAME, NS)}

    def looked() -> bool:
        nonlocal carried_s
        history.append((time.monotonic(), _served(addresses)))
        if not carried_s and all(share >= SHARE for pod, share in _shares(history).items() if pod not in old):
            carried_s = time.monotonic() - start
        return bool(carried_s) and (not figures.SOAK or time.monotonic() - start >= WITHIN_S)

    until(looked, timeout_s=WITHIN_S + 2, what=f"each new pod carries {SHARE:.0%} of the requests", interval_s=1)
    return carried_s, _shares(history)


def _served(addresses: dict[str, str] | None = None) -> Served:
    """Ask every pod."""
    addresses = addresses or {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in kit.pods_of(NAME, NS)}
    return {name: kit.figure(host, "gen_ai_server_request_duration_seconds_count") for name, host in addresses.items()}


def _shares(history: list[tuple[float, Served]]) -> Served:
    """Return each pod's part of what was served within the window; nothing while it is not half full."""
    at, now = history[-1]
    before_at, before = next((each for each in history if at - each[0] <= WINDOW_S), history[-1])
    total = sum(now[pod] - before[pod] for pod in now)
    return {pod: (now[pod] - before[pod]) / total if at - before_at > WINDOW_S / 2 else 0.0 for pod in now}
