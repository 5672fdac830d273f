"""Where other sidecars are: by pod address while one is known to be ready, else by the engine's Service."""

import contextlib
import random
import time
from dataclasses import dataclass

from llm_sidecar.engine.client import UpstreamClient
from llm_sidecar.table import Engine, Peers

_CONNECT_TIMEOUT_S = 1.0
_MAX_IDLE = 16
_MAX_IDLE_S = 30.0  # sidecars keep idle connections for longer
_AVOID_S = 5.0
_LOAD_COUNTS_S = 1.0
_PORTS = 1 << 16


@dataclass(eq=False, slots=True)
class Peer:
    """One address with its connections and the requests that are there now."""

    client: UpstreamClient
    name: str
    inflight: int = 0
    avoid_until: float = 0.0
    load: float = 0.0
    load_until: float = 0.0

    def hear(self, load: bytes) -> None:
        """Note what a pod has said of its load."""
        with contextlib.suppress(ValueError):
            self.load, self.load_until = float(load), time.monotonic() + _LOAD_COUNTS_S

    def avoid(self) -> None:
        """Leave this address alone for a while: it did not answer, or is leaving."""
        self.avoid_until = time.monotonic() + _AVOID_S


class Pool:
    """Connections to the sidecars of other pods."""

    def __init__(self) -> None:
        self._engines: dict[str, tuple[Peer, ...]] = {}
        self._services: dict[tuple[str, int], Peer] = {}
        self._random = random.Random()  # noqa: S311  # spreads load, keeps no secret

    def set_peers(self, peers: Peers) -> None:
        """Use these addresses; connections to those that stay are kept."""
        known = {peer.name: peer for there in self._engines.values() for peer in there}
        found = {address: known.get(address) or _pod(address) for there in peers.engines.values() for address in there}
        self._engines = {
            engine: tuple(peer for address in there if (peer := found[address]) is not None) for engine, there in peers.engines.items()
        }
        for gone in known.keys() - found.keys():
            known[gone].client.close()

    def pick(self, engine: str, own_address: str) -> Peer | None:
        """Return the less busy of two pods of an engine chosen at random, never the own one; None when none is known to be alive."""
        now = time.monotonic()
        alive = [peer for peer in self._engines.get(engine, ()) if peer.avoid_until <= now and peer.name != own_address]
        if len(alive) > 2:  # noqa: PLR2004  # the two of "power of two choices"
            alive = self._random.sample(alive, 2)
        elif not alive:
            return None
        self._random.shuffle(alive)
        return min(alive, key=lambda peer: peer.inflight)

    def less_loaded(self, engine: str, own_address: str) -> Peer | None:
        """Return the least loaded pod of an engine that may have a slot free, never the own one; of one unheard of late that is assumed."""
        now = time.monotonic()
        free = []
        for peer in self._engines.get(engine, ()):
            load = peer.load if peer.load_until > now else 0.0
            if load < 1 and peer.avoid_until <= now and peer.name != own_address:
                free.append((load, peer.inflight, self._random.random(), peer))
        return min(free)[-1] if free else None

    def service(self, engine: Engine) -> Peer:
        """Return the Service of an engine. No connection to it is kept: each new one may reach another pod."""
        at = engine.service, engine.port
        peer = self._services.get(at)
        if peer is None:
            peer = self._services[at] = Peer(
                UpstreamClient(*at, connect_timeout_s=_CONNECT_TIMEOUT_S, max_idle=0, may_vanish=True), f"{engine.service}:{engine.port}"
            )
        return peer

    def close(self) -> None:
        """Close all idle connections."""
        for there in self._engines.values():
            for peer in there:
                peer.client.close()


def _pod(address: str) -> Peer | None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) >= _PORTS:
        return None
    client = UpstreamClient(
        host.strip("[]"), int(port), connect_timeout_s=_CONNECT_TIMEOUT_S, max_idle=_MAX_IDLE, max_idle_s=_MAX_IDLE_S, may_vanish=True
    )
    return Peer(client, address)
