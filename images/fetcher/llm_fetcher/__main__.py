"""Runs a command of the fetcher as the first process of its container."""

import logging
import os
import signal
import sys
import threading
from types import FrameType

from llm_fetcher.cli import run
from llm_fetcher.s3 import SETTINGS

_STOPPED_BY_SIGTERM = 143


def main() -> None:
    """Run the command beside a main thread that only listens for signals, and leave with its exit code.

    The first process of a container gets no signal it has no handler for, and a handler would wait for a store's answer if the main
    thread were waiting for that. Whatever is half done continues in the next run.
    """
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    signal.signal(signal.SIGTERM, _stop)
    codes: list[int] = []
    env = dict(os.environ)
    for name in SETTINGS:
        # The S3 client would read them too, as they are.
        os.environ.pop(name, None)
    worker = threading.Thread(target=lambda: codes.append(run(sys.argv[1:], env)), daemon=True)
    worker.start()
    worker.join()
    _leave(codes[0] if codes else 1)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    _leave(_STOPPED_BY_SIGTERM)


def _leave(code: int) -> None:
    """End at once: a download thread may still wait for bytes nobody needs any more."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
