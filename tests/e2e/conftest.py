"""The product on the real node, once for all tests; tests that take it away run last."""

import pytest

from tests.e2e import kit, platform


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests behind all that need what they take away, and within a turn those first that take long, else as written."""
    items.sort(key=lambda item: (_turn(item), item.get_closest_marker("takes_minutes") is None))


def _turn(item: pytest.Item) -> int:
    if marker := item.get_closest_marker("alone"):
        return 2 + int(marker.kwargs.get("ends_the_product", False))
    return int(item.get_closest_marker("operator_goes") is not None)


@pytest.fixture(scope="session", name="platform")
def platform_fixture(request: pytest.FixtureRequest) -> None:
    """Install the product; `make e2e` throws the whole cluster away afterwards."""
    kit.lab_value("LLM_LAB_INSIDE")
    run = getattr(request.config, "workerinput", {}).get("testrunuid")
    if run:
        platform.install_once(run)
    else:
        platform.install()
