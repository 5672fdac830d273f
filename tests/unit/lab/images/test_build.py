from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.images import build
from tests.lab.images.catalog import Target

Catalog = dict[str, Target]


@pytest.fixture(name="built")
def built_fixture() -> list[str]:
    return []


@pytest.fixture(name="catalog")
def catalog_fixture(built: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    def builder(name: str) -> Callable[[Path], None]:
        def write(out: Path) -> None:
            built.append(name)
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(name)

        return write

    catalog = {name: Target(name, f"lab.local/{name}:dev", lambda: "key", builder(name)) for name in ("one", "two")}
    monkeypatch.setenv("LLM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(build, "targets", lambda: catalog)
    return catalog


def test_what_is_missing_is_built_once(catalog: Catalog, built: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert build.build() == [build.image_path(name) for name in catalog]
    build.build()
    assert built == ["one", "two"]
    said = capsys.readouterr().out
    assert "image lab.local/one:dev: building\n" in said
    assert "image lab.local/one:dev: built in 0.0 s" in said
    assert "image lab.local/two:dev: up to date\n" in said


def test_only_what_is_named_is_built(catalog: Catalog, built: list[str]) -> None:
    build.build(["two"])
    assert built == ["two"]
    assert [build.is_current(target) for target in catalog.values()] == [False, True]


@pytest.mark.parametrize("change", [{"key": lambda: "other"}, {"ref": "lab.local/one:2"}])
def test_an_image_is_built_again_when_its_inputs_or_its_name_change(catalog: Catalog, built: list[str], change: dict[str, str]) -> None:
    build.build()
    catalog["one"] = replace(catalog["one"], **change)  # type: ignore[arg-type]  # both fields are in the parameters
    build.build()
    assert built == ["one", "two", "one"]


def test_a_build_that_fails_does_not_count(catalog: Catalog, built: list[str]) -> None:
    build.build()
    good = catalog["one"]

    def fail(_: Path) -> None:
        raise OSError("no space")

    catalog["one"] = replace(good, key=lambda: "other", build=fail)
    with pytest.raises(OSError, match="no space"):
        build.build()
    catalog["one"] = good
    build.build()
    assert built == ["one", "two", "one"]


def test_an_image_whose_file_is_gone_is_built_again(catalog: Catalog, built: list[str]) -> None:
    build.build(["one"])
    build.image_path("one").unlink()
    assert not build.is_current(catalog["one"])
    build.build(["one"])
    assert built == ["one", "one"]


def test_an_unknown_name_is_answered_with_the_known_ones(catalog: Catalog, built: list[str]) -> None:
    with pytest.raises(SystemExit, match="no such image: three; there are one, two"):
        build.build(["one", "three"])
    assert catalog
    assert built == []
