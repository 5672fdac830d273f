"""The product on the real node, once for all tests; tests that take it away run last."""

import pytest

from tests.e2e import kit, platform


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that take the operator away behind all others, in the order they are written."""
    items.sort(key=lambda item: item.get_closest_marker("order_last") is not None)


@pytest.fixture(scope="session", name="platform")
def platform_fixture(request: pytest.FixtureRequest) -> None:
    """Install the product; `make e2e` throws the whole cluster away afterwards."""
    kit.lab_value("LLM_LAB_INSIDE")
    run = getattr(request.config, "workerinput", {}).get("testrunuid")
    if run:
        platform.install_once(run)
    else:
        platform.install()
