"""How much memory there is: the files of a container's cgroup, of either version."""

import os
from pathlib import Path

import pytest

from llm_sidecar.memory import limit_bytes

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("memory.max", "1073741824\n", 1 << 30),
        ("memory/memory.limit_in_bytes", "1073741824\n", 1 << 30),
        ("memory.max", "max\n", MACHINE),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", MACHINE),
        ("other", "1\n", MACHINE),
    ],
)
def test_the_limit_is_what_the_cgroup_says_or_else_the_whole_machine(tmp_path: Path, name: str, text: str, found: int) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert limit_bytes(tmp_path) == found


def test_the_machine_that_runs_this_has_some() -> None:
    assert 0 < limit_bytes() <= MACHINE
