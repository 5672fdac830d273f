"""What counts as coverage of the core: the tests written for it. Neither what passes by in others counts, nor what random walks meet."""

from pathlib import Path

import pytest

_CORE = Path(__file__).parent / "core"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Trace only tests that count: being traced makes them two to three times as slow."""
    for item in items:
        if _CORE not in item.path.parents or item.get_closest_marker("hypothesis"):
            item.add_marker(pytest.mark.no_cover)
