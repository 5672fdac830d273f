import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.lab.s3 import S3Client, S3Server
from tests.unit.fetcher import store
from tests.unit.fetcher.runner import Fetcher

_numbers = count()


@pytest.fixture(scope="session")
def s3(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server, shared: each test has its own bucket."""
    lent = store.lent(pytestconfig)
    if lent is not None:
        yield lent
        return
    with store.server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def client(s3: S3Server) -> S3Client:
    return s3.client


@pytest.fixture
def bucket(client: S3Client) -> str:
    """An empty bucket of this test alone."""
    name = f"test-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}-{next(_numbers)}"
    client.create_bucket(name)
    return name


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
