"""The S3 server of these tests. Workers of one run share it: the controller starts it, so that it is up when the first of them comes."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.lab.s3 import Identity, Ports, S3Server

WRITER = Identity("WRITER", "writer-secret")
STRANGER = Identity("STRANGER", "stranger-secret", ("Read:elsewhere", "List:elsewhere"))

_SERVER = pytest.StashKey[S3Server]()


def server(directory: Path, ports: Ports | None = None) -> S3Server:
    """Return a server that is not started."""
    return S3Server(directory, ports=ports, identities=(WRITER, STRANGER))


def lend(config: pytest.Config, workerinput: dict[str, Any]) -> None:
    """Tell a worker of the server of its controller, which runs until that ends."""
    if _SERVER not in config.stash:
        directory = TemporaryDirectory(prefix="llm-unit-s3-", ignore_cleanup_errors=True)
        config.add_cleanup(directory.cleanup)
        config.stash[_SERVER] = server(Path(directory.name))
        config.add_cleanup(config.stash[_SERVER].stop)  # the last one is called first
        config.stash[_SERVER].launch()
    running = config.stash[_SERVER]
    workerinput["s3"] = (str(running.directory), *vars(running.ports).values())


def lent(config: pytest.Config) -> S3Server | None:
    """Return the server of the controller once it takes requests; there is none without workers."""
    told = getattr(config, "workerinput", {}).get("s3")
    if told is None:
        return None
    found = server(Path(told[0]), Ports(*told[1:]))
    found.until_up()
    return found
