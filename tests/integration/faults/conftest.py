"""Fault plans need the lab to themselves: stub sidecars, simulated nodes, operators behind proxies of their own."""

import asyncio
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

        return asyncio.run(main())

    return run
