"""Fault plans need the lab to themselves: stub sidecars, simulated nodes, operators behind proxies of their own."""

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from tests.lab.cluster import Lab
from tests.lab.faults.lab import surroundings
from tests.lab.faults.operators import OURS
from tests.lab.faults.runs import Surroundings

T = TypeVar("T")
InLab = Callable[..., T]


@pytest.fixture(scope="package")
def in_lab(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., object]:
    """Return what runs a coroutine with everything fault plans need around it."""

    def run(work: Callable[[Surroundings], Awaitable[T]], program: tuple[str, ...] = OURS) -> T:
        async def main() -> T:
            async with surroundings(lab, tmp_path_factory.mktemp("faults"), program=program) as around:
                return await work(around)

        # A request that is cut while it connects may leave its socket to the garbage collector. It is one of the lab's proxies: operators
        # are processes of their own.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            try:
                return asyncio.run(main())
            finally:
                gc.collect()

    return run
