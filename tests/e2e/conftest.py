"""The product on the real node, once for all tests; tests that take it away run last."""

import pytest

from tests.e2e import kit, platform


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that take something away behind all others, and those that end the product behind these, else as written."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    marker = item.get_closest_marker("order_last")
    return 0 if marker is None else int(marker.kwargs.get("ends_the_product", False)) + 1


@pytest.fixture(scope="session", name="platform")
def platform_fixture(request: pytest.FixtureRequest) -> None:
    """Install the product; `make e2e` throws the whole cluster away afterwards."""
    kit.lab_value("LLM_LAB_INSIDE")
    run = getattr(request.config, "workerinput", {}).get("testrunuid")
    if run:
        platform.install_once(run)
    else:
        platform.install()
