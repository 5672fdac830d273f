"""Of which tier a test is, unit or component, and what counts as coverage of the core: the tests of the unit tier that are written for it.

Nothing else is traced, for that takes two to three times as long, and neither what passes by in others counts nor what random walks
meet. Of the tests that walk through the simulated world only those marked ``covers`` are of the unit tier: between them they go
everywhere the tests of single functions do not. Where a line is not covered, look first for the test that is about it, and mark that.
"""

import gc
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType
from typing import Any
from zlib import crc32

import certifi
import pytest
from coverage import Coverage

_CORE = Path(__file__).parent / "core"
_WORLD = {"tests.unit.core.sim", "tests.unit.core.rollout.engines"}
_OVER_SOCKETS = {Path(__file__).parent / "sidecar" / name for name in ("http", "hop")}
_BENEATH = ("llm_operator.api.config", "llm_operator.api.llmdeployment", "llm_operator.api.llmprompt", "llm_sidecar.prompt_tests")


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Trace how the core is imported, and not how everything else is. What is there then stays, so nothing looks for garbage in it."""
    gc.disable()
    if session.config.getoption("dist", "no") == "no":  # else the workers collect
        _trace(session.config, wanted=False)
        if (left := Coverage.current()) is not None:
            left.stop()  # a worker's pytest-cov has begun as if it were the controller, and that would go on where the worker's own pauses
        for name in _BENEATH:
            import_module(name)
        _trace(session.config, wanted=True)
        for module in walk_packages(import_module("llm_operator.core").__path__, "llm_operator.core."):
            import_module(module.name)
        _trace(session.config, wanted=False)
    done = yield
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)  # the simulated world makes much, nearly all of it without cycles
    gc.enable()
    return done


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mix files that wait with files that compute, the same way every time: sorted by name, the last third of a run would only wait.

    What walks through the simulated world and what asks a sidecar over its sockets is of the component tier without a mark of its own.
    """
    items.sort(key=lambda item: crc32(item.path.name.encode()))
    for item in items:
        walks = isinstance(item, pytest.Function) and _walks(item.module) and item.get_closest_marker("covers") is None
        if walks or not _OVER_SOCKETS.isdisjoint(item.path.parents):
            item.add_marker(pytest.mark.component)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    _trace(item.config, wanted=_counts(item))


def _counts(item: pytest.Item) -> bool:
    return _CORE in item.path.parents and not any(map(item.get_closest_marker, ("hypothesis", "component")))


@cache
def _walks(module: ModuleType) -> bool:
    return not _WORLD.isdisjoint(getattr(each, "__module__", "") for each in vars(module).values())


def _trace(config: pytest.Config, *, wanted: bool) -> None:
    plugin = config.pluginmanager.getplugin("_cov")
    controller = plugin.cov_controller if plugin else None  # there is none without --cov
    if controller is not None and controller.started != wanted:
        if wanted:
            _forget()
        (controller.resume if wanted else controller.pause)()


def _forget() -> None:
    """What was found out without being traced is found out again: else the lines that find it out would not count."""
    for name, module in list(sys.modules.items()):
        if name.startswith("llm_operator.core."):
            for each in vars(module).values():
                if getattr(each, "__module__", None) == name and hasattr(each, "cache_clear"):
                    each.cache_clear()
    if (diff := sys.modules.get("llm_operator.core.diff")) is not None:
        diff.agreed.clear()


@pytest.fixture(scope="session", autouse=True)
def _one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whoever makes a client reads the certificates of all authorities there are: thirty milliseconds each time, and none is ever used."""
    certificate = re.search("-----BEGIN.+?-----END CERTIFICATE-----", Path(certifi.where()).read_text(), re.DOTALL)
    assert certificate is not None
    trusted = tmp_path_factory.mktemp("tls") / "ca.pem"
    trusted.write_text(certificate[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(trusted))
        yield


@pytest.fixture(scope="session")
def openai() -> Any:
    """The official client's package. Its import takes longer than any test with it, so only a worker that runs them does it."""
    return import_module("openai")
