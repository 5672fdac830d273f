"""Programs as their containers run them: the fetcher with a real S3 server, sidecars and stub engines in processes of their own."""

from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.integration.programs.proxy import Proxy
from tests.lab.s3 import Identity, S3Client, S3Server
from tests.unit.fetcher.runner import Fetcher
from tests.unit.sidecar.support.engine import Engine, engine_running

WRITER = Identity("WRITER", "writer-secret")
STRANGER = Identity("STRANGER", "stranger-secret", ("Read:elsewhere", "List:elsewhere"))

_numbers = count()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server, shared: each test has its own bucket."""
    with S3Server(tmp_path_factory.mktemp("s3"), identities=(WRITER, STRANGER)) as server:
        yield server


@pytest.fixture
def client(s3: S3Server) -> S3Client:
    return s3.client


@pytest.fixture
def bucket(client: S3Client) -> str:
    """An empty bucket of this test alone."""
    name = f"test-{next(_numbers)}"
    client.create_bucket(name)
    return name


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[Proxy]:
    with Proxy(s3.endpoint) as relay:
        yield relay


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """An empty directory to fetch into."""
    path = tmp_path / "model"
    path.mkdir()
    return path


@pytest.fixture
def fetcher(client: S3Client, tmp_path: Path) -> Fetcher:
    """The fetcher as its container runs it, with the keys of the bucket's owner."""
    return Fetcher(client.env(), tmp_path / "termination-log")


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with engine_running(Engine()) as running:
        yield running
