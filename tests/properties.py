"""How many examples a property is tried on: few in the suite, the same ones on every run; many new ones in the soak."""

import os
from typing import Any

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("PROPERTIES_TIMES", "1"))


def tried(examples: int, **changes: Any) -> settings:
    """Return the settings of a property that needs more examples than most, or whose examples cost more."""
    return settings(max_examples=examples * TIMES, **changes)


def load_profile() -> None:
    """Make it the default: a red suite is a change's fault, and never that of a machine that is busy."""
    settings.register_profile("suite", tried(50, derandomize=TIMES == 1, deadline=None, suppress_health_check=[HealthCheck.too_slow]))
    settings.load_profile("suite")
