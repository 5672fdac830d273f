from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.images.archive import Entry
from tests.lab.images.buildah import Contents, compare, contents
from tests.lab.images.oci import ImageConfig, layer_of, write_image

CONFIG = ImageConfig(("python3", "-m", "thing"), user="10001", env={"B": "2", "A": "1"})


@pytest.fixture(name="image")
def image_fixture(tmp_path: Path) -> Contents:
    base = layer_of([Entry("app/a.py", b"old"), Entry("etc/.hidden", b"")])
    app = layer_of([Entry("app/a.py", b"new"), Entry("app/__pycache__/a.cpython-311.pyc", b"1970"), Entry("app/bin/tool", b"#!/x")])
    write_image(tmp_path / "image.tar", "lab.local/thing:dev", [base, app], CONFIG)
    return contents(tmp_path / "image.tar")


def test_an_image_is_read_with_later_layers_over_earlier_ones(image: Contents) -> None:
    assert image.files["/app/a.py"] == b"new"
    assert image.files["/etc/.hidden"] == b""
    assert image.start["Entrypoint"] == ["python3", "-m", "thing"]
    assert image.start["Env"][:2] == ["A=1", "B=2"]


def test_an_image_does_not_differ_from_itself(image: Contents) -> None:
    assert compare("thing", image, image) == []


def test_compiled_files_and_console_scripts_do_not_count(image: Contents) -> None:
    bare = replace(image, files={path: data for path, data in image.files.items() if path.endswith("a.py")})
    assert compare("thing", bare, image) == []


@pytest.mark.parametrize(
    ("files", "difference"),
    [
        ({"/app/a.py": b"changed"}, "/app/a.py differs"),
        ({"/app/b.py": b""}, "/app/b.py is in the Dockerfile's image alone"),
    ],
)
def test_a_file_that_differs_is_named(image: Contents, files: dict[str, bytes], difference: str) -> None:
    assert compare("thing", replace(image, files=image.files | files), image) == [f"thing: {difference}"]


def test_a_file_the_dockerfile_forgot_is_named(image: Contents) -> None:
    lacking = replace(image, files={path: data for path, data in image.files.items() if path != "/app/a.py"})
    assert compare("thing", lacking, image) == ["thing: /app/a.py is in the lab's image alone"]


def test_another_start_is_named_with_both_values(image: Contents) -> None:
    other = replace(image, start=image.start | {"User": "0"})
    assert compare("thing", other, image) == ["thing: User is 0 by its Dockerfile and 10001 in the lab"]
