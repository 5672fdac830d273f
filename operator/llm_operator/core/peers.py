"""The addresses of ready pods, or why there are none, beside the table: a hint, written at a pace of its own and never waited for."""

from datetime import datetime

from llm_operator.core import names
from llm_operator.core.clock import seconds_since
from llm_operator.core.kinds import CONFIG_MAP
from llm_operator.core.reasons import Reason
from llm_operator.core.tables import Snapshot
from llm_operator.core.world import World, engine_of, ready
from llm_sidecar.table import PEERS_KEY, Peers, decode_peers, encode

_PACE_S = 2.0


def peers(world: World, content: Snapshot, now: datetime) -> tuple[dict[str, str], float | None]:
    """Return the key of the peers, and in how many seconds it is to be written anew.

    They go with a table that is written anyway. Alone they are written two seconds after the snapshot was written last at the earliest, so
    that pods which come one after the other make one write. A pod that is alone has no peers.
    """
    text = world.bundles.get(PEERS_KEY)
    live = {} if text is None else {PEERS_KEY: text}
    known = decode_peers((text or "").encode())
    wanted = _addresses(world, content)
    failed = _failed(world)
    if (known.engines, known.failed) == (wanted, failed):
        return live, None
    if content.is_live and (wait_s := _PACE_S - _since_written_s(world, now)) > 0:
        return live, wait_s
    return {PEERS_KEY: encode(Peers(counter=known.counter + 1, engines=wanted, failed=failed)).decode()}, None


def _failed(world: World) -> str:
    """Return why no engine serves, where one had all the time it has to start: then nobody need wait for it any longer."""
    stalled = world.previous.get("Stalled", {})
    late = (stalled.get("status"), stalled.get("reason")) == ("True", Reason.PROGRESS_DEADLINE_EXCEEDED)
    return str(stalled["message"]) if late and not any(engine_of(pod) and ready(pod) for pod in world.pods) else ""


def _addresses(world: World, content: Snapshot) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    takers = [pod for pod in world.takers if pod["status"].get("podIP")]
    for pod in takers if len(takers) > 1 else ():
        if engine_of(pod) in content.table.engines:
            found.setdefault(engine_of(pod), []).append(_address(pod["status"]["podIP"]))
    return {engine: tuple(sorted(each)) for engine, each in found.items()}


def _address(ip: str) -> str:
    return f"[{ip}]:{names.PUBLIC_PORT}" if ":" in ip else f"{ip}:{names.PUBLIC_PORT}"


def _since_written_s(world: World, now: datetime) -> float:
    """Return how long ago the snapshot was applied, as the server noted it."""
    live = world.owned.get((CONFIG_MAP, names.snapshot(world.owner.name)))
    entries = live["metadata"].get("managedFields", []) if live else []
    times = [each["time"] for each in entries if each.get("manager") == names.FIELD_MANAGER and each.get("time")]
    return seconds_since(max(times), now) if times else _PACE_S
