"""Runs the stub: ``python3 -m stub_engine [serve] [MODEL] [any flag of vLLM]``, with STUB_* variables for pace and faults."""

import asyncio
import os
import sys

from .options import parse
from .server import serve


def main() -> None:
    """Serve until told to stop; STUB_CRASH is said as the last word of a start that fails."""
    if last_words := os.environ.get("STUB_CRASH"):
        sys.exit(last_words)
    asyncio.run(serve(parse(sys.argv[1:], os.environ), os.environ))


if __name__ == "__main__":
    main()
