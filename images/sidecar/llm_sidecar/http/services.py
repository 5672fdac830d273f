"""What the public application works with, in one place for the request code."""

from dataclasses import dataclass

from llm_sidecar.admission import Admission
from llm_sidecar.auth.doorman import Doorman
from llm_sidecar.bodies import Bodies
from llm_sidecar.drain import Drain
from llm_sidecar.engine.client import UpstreamClient
from llm_sidecar.engine.health import Health
from llm_sidecar.hop.hold import Hold
from llm_sidecar.hop.pool import Pool
from llm_sidecar.hop.reach import Reach
from llm_sidecar.metrics import Metrics
from llm_sidecar.shadow.copies import Copies
from llm_sidecar.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Own:
    """The engine beside this sidecar."""

    engine: UpstreamClient
    health: Health
    admission: Admission


@dataclass(frozen=True, slots=True)
class Services:
    """The long-lived parts of a sidecar. Without ``own`` it is an entry: it hands requests on, or holds them."""

    served_name: str
    token: bytes
    snapshot: Snapshot
    doorman: Doorman
    own: Own | None
    pool: Pool
    bodies: Bodies
    hold: Hold
    reach: Reach
    drain: Drain
    metrics: Metrics
    copies: Copies

    def readiness(self) -> tuple[bool, str, str]:
        """Return whether requests should come here, the reason, and a sentence where there is more to say."""
        snapshot = self.snapshot
        if self.drain.draining:
            return False, "Draining", ""
        if snapshot.live is None:
            return False, snapshot.reason, snapshot.error
        if not snapshot.serves:
            return False, "NoRoute", f"generation {snapshot.generation} gives this engine no revision"
        if self.own is not None and not self.own.health.ready:
            return False, self.own.health.reason, self.own.health.message
        return True, "Ready", ""
