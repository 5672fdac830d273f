"""The operator with every reconcile delayed: what it has read is more than a second old when it acts on it."""

import asyncio
import sys
from typing import Any

import uvloop

from llm_operator import app
from llm_operator.core.observed import Observed
from llm_operator.shell.observe import Eye

DELAY_S = 1.2


class SlowEye(Eye):
    """Thinks about what it has seen before it says so."""

    async def assemble(self, *seen: Any) -> Observed:
        """Return what a plan looks at, late."""
        observed = await super().assemble(*seen)
        await asyncio.sleep(DELAY_S)
        return observed


if __name__ == "__main__":
    app.Eye = SlowEye  # type: ignore[attr-defined]  # the composition root is told to use the other one
    sys.exit(uvloop.run(app.main()))
