"""What the public application works with, in one place for the request code."""

from dataclasses import dataclass

from llm_sidecar.admission import Admission
from llm_sidecar.drain import Drain
from llm_sidecar.engine.client import EngineClient
from llm_sidecar.engine.health import Health
from llm_sidecar.metrics import Metrics
from llm_sidecar.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Services:
    """The long-lived parts of a sidecar."""

    served_name: str
    snapshot: Snapshot
    admission: Admission
    engine: EngineClient
    health: Health
    drain: Drain
    metrics: Metrics
