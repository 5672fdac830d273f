import importlib.util
import marshal
import sys
from pathlib import Path
from types import CodeType

import pytest

from tests.lab.images.archive import Entry
from tests.lab.images.python_layer import application
from tests.lab.images.rootfs import Rootfs


class HostPython(Rootfs):
    """A base whose interpreter is the one that runs the tests."""

    def python(self) -> list[str]:
        return [sys.executable]


@pytest.fixture(name="source")
def source_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLM_CACHE_DIR", str(tmp_path / "cache"))
    package = tmp_path / "source/thing"
    (package / "__pycache__").mkdir(parents=True)
    (package / "__pycache__/stale.cpython-311.pyc").touch()
    (package / "__init__.py").write_text("NAMES = frozenset({'a', 'b', 'c'})\n")
    (package / "template.py").write_text("this is {{ no }} Python\n")
    (package / "data.json").write_text("{}")
    return package


def _application(source: Path) -> dict[str, bytes | None]:
    def content(entry: Entry) -> bytes | None:
        return entry.content.read_bytes() if isinstance(entry.content, Path) else None

    with application(HostPython(Path("/")), "/app", "", [(source, "thing"), (source / "data.json", "LICENSE")]) as entries:
        return {entry.path: content(entry) for entry in entries}


def test_sources_lie_where_the_dockerfile_says_without_what_python_left_behind(source: Path) -> None:
    files = _application(source)
    assert files["/app/LICENSE"] == b"{}"
    assert {path for path, content in files.items() if content is not None and not path.endswith(".pyc")} == {
        "/app/LICENSE",
        "/app/thing/__init__.py",
        "/app/thing/template.py",
        "/app/thing/data.json",
    }
    assert not [path for path in files if "stale" in path]


def test_what_compiles_is_compiled_as_the_file_it_is_in_the_image(source: Path) -> None:
    files = _application(source)
    (compiled,) = (content for path, content in files.items() if path.endswith(".pyc"))
    assert compiled is not None
    assert compiled[:4] == importlib.util.MAGIC_NUMBER
    assert int.from_bytes(compiled[4:8], "little") == 0b01, "trusted without a look at the source, whose date is 1970"
    code = marshal.loads(compiled[16:])  # noqa: S302  compiled two lines above
    assert isinstance(code, CodeType)
    assert code.co_filename == "/app/thing/__init__.py"


def test_the_same_source_makes_the_same_layer(source: Path) -> None:
    assert _application(source) == _application(source)
