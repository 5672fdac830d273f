"""The S3 server as a component of the lab, on the node's address, so that pods reach it."""

from pathlib import Path

from tests.lab import addresses, s3
from tests.lab.components import Extra
from tests.lab.files import write
from tests.lab.state import State

ENDPOINT = f"http://{addresses.NODE_IP}:{addresses.S3_PORT}"

# SeaweedFS puts sockets into /tmp, named by port: two labs would talk to each other through them. So it gets a /tmp of its own; the
# executable, which may lie under the old one, stays reachable as an open file.
_PRIVATE_TMP = 'exec 3<"$1"; shift; mount -t tmpfs lab /tmp; exec /proc/self/fd/3 "$@"'


def component(state: State, run: Path) -> Extra:
    """Return the component."""

    def prepare() -> None:
        (run / "disk" / "s3").mkdir(exist_ok=True)
        s3.write_config(run / "s3-keys.json", [s3.LAB_IDENTITY])
        write(state.s3_credentials, credentials(), 0o600)

    return Extra("s3", command(run), prepare, lambda: s3.is_ready(ENDPOINT))


def command(run: Path) -> list[str]:
    """Return how to run the server inside the lab."""
    ports = s3.Ports.from_base(addresses.S3_PORT)
    weed, *args = s3.argv(run / "disk" / "s3", addresses.NODE_IP, ports, run / "s3-keys.json")
    return ["unshare", "--mount", "sh", "-ec", _PRIVATE_TMP, "private-tmp", weed, *args]


def credentials() -> str:
    """Return the keys as the fetcher's environment, in the form `kubectl create secret generic --from-env-file` takes."""
    return "".join(f"{key}={value}\n" for key, value in s3.S3Client(ENDPOINT).env().items())
