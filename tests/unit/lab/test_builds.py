import shutil
import threading
from pathlib import Path

import pytest

from tests.lab import builds
from tests.lab.builds import BuildError, Module

MAIN = 'package main\n\nfunc main() { println("%s") }\n'


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """Return a module of one small program."""
    monkeypatch.setenv("LLM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(builds, "GO", tmp_path)
    module = Module("tiny", (("tiny", "."),), (("alias", "tiny"),))
    monkeypatch.setattr(builds, "MODULES", {"tiny": module})
    module.folder.mkdir()
    (module.folder / "go.mod").write_text("module example.com/tiny\n\ngo 1.26.0\n")
    (module.folder / "main.go").write_text(MAIN % "one")
    return module


def test_another_source_has_another_place(module: Module) -> None:
    first = module.out
    (module.folder / "main.go").write_text(MAIN % "two")
    assert module.out != first


@pytest.mark.usefixtures("module")
def test_a_program_is_built_once_and_found_under_each_of_its_names(capsys: pytest.CaptureFixture[str]) -> None:
    builds.build(["tiny"])
    assert "built tiny in" in capsys.readouterr().out
    assert builds.binary("alias").resolve() == builds.binary("tiny")
    builds.build(["tiny"])
    assert capsys.readouterr().out == ""


def test_a_source_that_does_not_compile_shows_the_compilers_words_and_leaves_nothing(
    module: Module, capsys: pytest.CaptureFixture[str]
) -> None:
    (module.folder / "main.go").write_text("package main\n\nfunc main() { nothing() }\n")
    with pytest.raises(BuildError, match="building tiny failed"):
        builds.build(["tiny"])
    assert "undefined: nothing" in capsys.readouterr().err
    assert not module.out.exists()


def test_two_builds_at_once_do_the_work_once(module: Module, capsys: pytest.CaptureFixture[str]) -> None:
    threads = [threading.Thread(target=builds.build, args=(["tiny"],)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capsys.readouterr().out.count("built tiny") == 1
    assert (module.out / "built").exists()


def test_without_go_the_missing_tool_is_named(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(BuildError, match="needs Go"):
        builds.build([module.name])


def test_a_program_nobody_builds_is_an_error() -> None:
    with pytest.raises(LookupError, match="no module builds 'dockerd'"):
        builds.binary("dockerd")


def test_every_module_of_the_repository_is_locked() -> None:
    for module in builds.MODULES.values():
        text = (module.folder / "go.mod").read_text()
        assert "require" not in text or (module.folder / "go.sum").exists()
