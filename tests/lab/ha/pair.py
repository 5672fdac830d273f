"""Two operators that share a Lease, each behind a proxy of its own, and the LLMDeployment they look after."""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import takewhile

from llm_operator.core import kinds, names
from tests.fakes.objects import llm_deployment
from tests.lab.faults.lane import Call, Lane
from tests.lab.faults.operators import Operator, configuration, environment, kubeconfig
from tests.lab.faults.proxy import proxy
from tests.lab.faults.runs import PREFIX, Surroundings, service_account
from tests.lab.faults.workloads import NAME, Live, Place, settled
from tests.lab.ha.terms import identity_of
from tests.lab.namespaces import restricted

LEASE = "llm-operator"
_TICK_S = 0.05
_FRESH_S = 5.0
_WAIT_S = 90.0

_numbers = itertools.count(1)


@dataclass
class Member:
    """One of the two operators, under whichever identity its process has now."""

    operator: Operator
    lane: Lane

    @property
    def identity(self) -> str:
        """Return the identity its process has, empty before it has asked for anything."""
        named = (identity_of(call.asked.agent) for call in self._calls)
        return next(filter(None, named), "")

    @property
    def looks(self) -> bool:
        """Return whether it runs and has looked at the Lease just now."""
        looks = (call.at for call in self._calls if call.asked.resource == "leases" and call.status)
        return self.operator.alive and time.monotonic() - next(looks, 0.0) < _FRESH_S

    @property
    def _calls(self) -> Iterator[Call]:
        """Return the requests of its process, the last one first."""
        return takewhile(lambda call: call.at > self.operator.started_at, reversed(self.lane.calls))


@dataclass
class Pair:
    """The two, and their place."""

    around: Surroundings
    place: Place
    system: str
    members: tuple[Member, Member]
    edits: int = 0

    @property
    def live(self) -> Live:
        """Return what there is."""
        return self.around.observer.histories[self.place.namespace].live

    async def holder(self) -> str:
        """Return who the Lease says leads."""
        found = await self.around.client.send("GET", kinds.LEASE.path(self.system, LEASE))
        return str((found or {}).get("spec", {}).get("holderIdentity") or "")

    async def leader(self) -> Member:
        """Wait until one leads and the other one stands by, and return the first."""

        def stand() -> Member | None:
            both = [each for each in self.members if each.identity and each.looks]
            return next((each for each in both if each.identity == holder), None) if len(both) == len(self.members) else None

        end = time.monotonic() + _WAIT_S
        while time.monotonic() < end:
            holder = await self.holder()
            if found := stand():
                return found
            await asyncio.sleep(_TICK_S * 4)
        raise TimeoutError(f"{self.system}: no leader and standby within {_WAIT_S:g} s")

    async def edit(self) -> str:
        """Change the prompt, and return its new text."""
        self.edits += 1
        text = f"Answer number {self.edits}."
        await self.place.merge(kinds.LLM_DEPLOYMENT, NAME, {"spec": {"prompt": {"inline": {"system": text}}}})
        return text

    async def serves(self, text: str, timeout_s: float = _WAIT_S) -> None:
        """Wait until a prompt is what sidecars are given and the status says that all is done."""

        def there() -> bool:
            snapshot = self.live.get((kinds.CONFIG_MAP.plural, names.snapshot(NAME)), {})
            return any(text in value for value in snapshot.get("data", {}).values()) and settled(self.live)

        await wait(there, timeout_s, f"{self.place.namespace}: {text!r} served")


async def wait(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Wait until something is so."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        await asyncio.sleep(_TICK_S)


@asynccontextmanager
async def pair(around: Surroundings) -> AsyncIterator[Pair]:
    """Make namespaces, start two operators and have them serve one LLMDeployment; nothing of it stays."""
    number = next(_numbers)
    namespace, system = (f"{PREFIX}{what}-{os.getpid()}-{number}" for what in ("ha", "ha-system"))
    client = around.client
    async with AsyncExitStack() as parts:
        for name in (namespace, system):
            await client.send("POST", "/api/v1/namespaces", restricted(name))
            parts.push_async_callback(client.send, "DELETE", f"/api/v1/namespaces/{name}")
        parts.callback(around.observer.histories.pop, namespace, None)
        await service_account(client, namespace)
        members = [await _member(around, parts, namespace, system, letter) for letter in "ab"]
        made = Pair(around, Place(client, namespace), system, (members[0], members[1]))
        await made.place.create(llm_deployment(NAME, namespace, prompt={"inline": {"system": "Answer."}}), kinds.LLM_DEPLOYMENT)
        await made.leader()
        await made.serves("Answer.")
        yield made


async def _member(around: Surroundings, parts: AsyncExitStack, namespace: str, system: str, letter: str) -> Member:
    lane = Lane()
    url = await parts.enter_async_context(proxy(lane, around.session, around.client.server))
    files = {suffix: around.folder / f"{namespace}-{letter}.{suffix}" for suffix in ("yaml", "kubeconfig", "log")}
    files["yaml"].write_text(configuration(namespace, system))
    files["kubeconfig"].write_text(kubeconfig(around.kubeconfig, url))
    operator = Operator(around.program, environment(files["kubeconfig"], files["yaml"]), files["log"], _at_once)
    lane.kill = operator.kill
    await operator.start()
    parts.push_async_callback(operator.stop)
    return Member(operator, lane)


async def _at_once() -> None:
    """Start again at once: what the dead one held is for the other to wait for."""
