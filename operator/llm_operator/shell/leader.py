"""The elector: stands by until the Lease is ours, renews it while there is work, gives it back. What to do is decided in ``core.lease``.

Nothing the API server does ends it but the loss of the Lease: no answer, a refusal and a Lease that makes no sense are all tried again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, Protocol

from llm_operator.core import kinds
from llm_operator.core.kinds import Kind
from llm_operator.core.lease import RETRY_S, Decision, Lease, Seen, claim, deadline, decide, freed, observe, read
from llm_operator.shell.errors import ApiError, ConflictError, NotFoundError
from llm_operator.shell.fence import Fence
from llm_operator.shell.logging import log
from llm_operator.shell.ports import Manifest

_PATIENCE_S = 3.0
"""For one look and what follows from it: a connection that died in silence must leave time for another one."""
_UNREACHABLE = "Unreachable"


class LostError(Exception):
    """The Lease is not ours any more: somebody else may be at work, so this process must end."""


class Leases(Protocol):
    """The part of the API in which the Lease is kept. Nothing of it is fenced: it is what the fence rests on."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        """Return one object or raise NotFoundError."""
        ...

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Create an object, or raise ConflictError when there is one."""
        ...

    async def update(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Replace an object of the resourceVersion in its metadata, or raise ConflictError."""
        ...


@dataclass
class Elector:
    """One candidate. ``me`` is unique to this process; ``looked`` is called whenever a standby has read the Lease."""

    leases: Leases
    namespace: str
    name: str
    me: str
    fence: Fence
    clock: Callable[[], float]
    now: Callable[[], datetime]
    looked: Callable[[], None] = lambda: None
    _seen: Seen | None = None
    _led: bool = False
    _said: str = ""

    async def run(self, work: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        """Work once the Lease is ours and until ``work`` ends, then give it back; raises LostError when it is lost on the way."""
        if not await _before(stop, self._acquire()):
            return
        keeping, working = asyncio.create_task(self._keep()), asyncio.ensure_future(work())
        try:
            await asyncio.wait((keeping, working), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.fence.close()
            keeping.cancel()
            working.cancel()
            await asyncio.wait((keeping, working))
        if not keeping.cancelled():
            keeping.result()
        await self._release()
        working.result()

    async def _acquire(self) -> None:
        """Return once this process leads."""
        while True:
            decided = await self._turn(look=True)
            if decided.reason != _UNREACHABLE:
                self.looked()
            if self.fence.is_open:
                log(logging.INFO, f"this process leads: {decided.message}", lease=self.name, identity=self.me, reason=decided.reason)
                return
            await asyncio.sleep(decided.wait_s)

    async def _keep(self) -> NoReturn:
        """Renew until cancelled; raises LostError when somebody else leads, or may have led and given the Lease back.

        Who cannot renew stops writing, since the fence closes by itself, and goes on asking: as long as nobody else has led, all it knows
        is still so.
        """
        self._led, look = True, False
        while True:
            await asyncio.sleep(RETRY_S)
            decided = await self._turn(look=look)
            if decided.do == "Acquire" or decided.reason == "HeldByAnother":
                raise LostError(f"the Lease is lost, so this process ends: {decided.message}")
            look = decided.do == "Wait"

    async def _turn(self, *, look: bool) -> Decision:
        """Do what there is to do about the Lease; ``look`` reads it first, else it is taken to be as this process left it."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if look or self._seen is None:
                    self._seen = observe(self._seen, await self._read(), self.clock())
                decided = decide(self._seen, self.clock(), self.me)
                if decided.do == "Renew" or (decided.do == "Acquire" and not self._led):
                    await self._claim(self._seen.lease)
        except ConflictError:
            if not look:
                return await self._turn(look=True)
            decided = Decision("Wait", "Conflict", "somebody else has written the Lease at the same time", RETRY_S)
        except TimeoutError:
            decided = Decision("Wait", _UNREACHABLE, "the API server did not answer in time", RETRY_S)
        except ApiError as error:
            decided = Decision("Wait", _UNREACHABLE, str(error), RETRY_S)
        self._say(decided)
        return decided

    async def _read(self) -> Lease | None:
        try:
            return read(await self.leases.get(kinds.LEASE, self.namespace, self.name))
        except NotFoundError:
            return None

    async def _claim(self, lease: Lease) -> None:
        asked_at = self.clock()
        manifest = self._manifest(lease, claim(lease, self.me, self.now()))
        answer = await (self.leases.update if lease.version else self.leases.create)(kinds.LEASE, manifest)
        self._seen = Seen(read(answer), asked_at)
        self.fence.open(deadline(asked_at))

    async def _release(self) -> None:
        """Give the Lease back, so that a successor need not wait for its end; if that fails, it waits."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                lease = await self._read()
                if lease is not None and lease.holder == self.me:
                    await self.leases.update(kinds.LEASE, self._manifest(lease, freed(lease, self.now())))
                    log(logging.INFO, "the Lease is given back", lease=self.name, identity=self.me)
        except (ApiError, TimeoutError) as error:
            log(logging.WARNING, f"the Lease was not given back: {error}", lease=self.name, identity=self.me)

    def _manifest(self, lease: Lease, spec: dict[str, Any]) -> Manifest:
        metadata = {"namespace": self.namespace, "name": self.name, "resourceVersion": lease.version}
        return {
            "apiVersion": kinds.LEASE.api_version,
            "kind": kinds.LEASE.kind,
            "metadata": {name: value for name, value in metadata.items() if value},
            "spec": spec,
        }

    def _say(self, decided: Decision) -> None:
        """Log what is new, once."""
        if decided.do == "Wait" and decided.message != self._said:
            level = logging.WARNING if decided.reason == _UNREACHABLE else logging.INFO
            log(level, decided.message, lease=self.name, identity=self.me, reason=decided.reason)
        self._said = decided.message


async def _before(stop: asyncio.Event, what: Awaitable[None]) -> bool:
    """Return whether something was done before one was told to stop; raises what it failed with."""
    doing, stopping = asyncio.ensure_future(what), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((doing, stopping), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
        return doing.done()
    finally:
        doing.cancel()
        stopping.cancel()
        await asyncio.wait((doing, stopping))
