from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.lab.images.places import files_of, fingerprint

_texts = st.lists(st.text(max_size=5), max_size=4)


def test_a_fingerprint_changes_with_a_files_content_and_with_its_place(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("same")
    two.write_text("same")
    first = fingerprint(one)
    assert first != fingerprint(two)
    one.write_text("other")
    assert first != fingerprint(one)


@given(_texts, _texts)
def test_two_lists_of_texts_share_a_fingerprint_only_when_they_are_equal(one: list[str], two: list[str]) -> None:
    assert (fingerprint(*one) == fingerprint(*two)) == (one == two)


def test_what_python_leaves_behind_is_no_file_of_a_package(tmp_path: Path) -> None:
    (tmp_path / "package/__pycache__").mkdir(parents=True)
    (tmp_path / "package/__pycache__/a.cpython-311.pyc").touch()
    (tmp_path / "package/b.py").touch()
    (tmp_path / "package/a.py").touch()
    assert [path.name for path in files_of(tmp_path / "package")] == ["a.py", "b.py"]


def test_a_file_stands_for_itself(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").touch()
    assert files_of(tmp_path / "LICENSE") == [tmp_path / "LICENSE"]
