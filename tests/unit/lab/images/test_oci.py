import hashlib
import io
import json
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.images import oci
from tests.lab.images.archive import Entry
from tests.lab.images.oci import ImageConfig, layer_of, write_image

REF = "lab.local/thing:dev"
CONFIG = ImageConfig(("python3", "-m", "thing"), ("--flag",), "10001:10001", {"PYTHONPATH": "/app"}, "/work", {"a": "b"})


class Layout:
    """An image file, read the way a container engine does."""

    def __init__(self, path: Path) -> None:
        with tarfile.open(path) as tar:
            self.files = {member.name: self._read(tar, member) for member in tar.getmembers()}
        self.index = json.loads(self.files["index.json"])
        (self.entry,) = self.index["manifests"]
        self.manifest = self.json(self.entry)
        self.config = self.json(self.manifest["config"])

    def blob(self, descriptor: dict[str, Any]) -> bytes:
        algorithm, _, value = descriptor["digest"].partition(":")
        data = self.files[f"blobs/{algorithm}/{value}"]
        assert hashlib.new(algorithm, data).hexdigest() == value
        assert len(data) == descriptor["size"]
        return data

    def json(self, descriptor: dict[str, Any]) -> Any:
        return json.loads(self.blob(descriptor))

    @staticmethod
    def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
        stream = tar.extractfile(member)
        assert stream is not None
        return stream.read()


def test_the_file_is_an_oci_layout_whose_every_digest_and_size_is_true(tmp_path: Path) -> None:
    layers = [layer_of([Entry("etc/one", b"1" * 700)]), layer_of([Entry("etc/two", b"2")])]
    digest = write_image(tmp_path / "image.tar", REF, layers, CONFIG)
    layout = Layout(tmp_path / "image.tar")
    assert json.loads(layout.files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert layout.index["schemaVersion"] == layout.manifest["schemaVersion"] == 2
    assert layout.entry["digest"] == digest
    assert layout.entry["mediaType"] == layout.manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert layout.manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    assert {layer["mediaType"] for layer in layout.manifest["layers"]} == {"application/vnd.oci.image.layer.v1.tar"}
    # Uncompressed layers: the digest of the blob is the digest of its content.
    assert layout.config["rootfs"] == {"type": "layers", "diff_ids": [layer["digest"] for layer in layout.manifest["layers"]]}
    names = [tarfile.open(fileobj=io.BytesIO(layout.blob(layer))).getnames() for layer in layout.manifest["layers"]]  # noqa: SIM115  in memory
    assert names == [["etc", "etc/one"], ["etc", "etc/two"]]
    assert {name for name in layout.files if name.startswith("blobs/")} == {
        f"blobs/sha256/{descriptor['digest'][7:]}" for descriptor in [layout.entry, layout.manifest["config"], *layout.manifest["layers"]]
    }


def test_a_container_starts_as_the_configuration_says(tmp_path: Path) -> None:
    write_image(tmp_path / "image.tar", REF, [], CONFIG)
    layout = Layout(tmp_path / "image.tar")
    run = layout.config["config"]
    assert (run["Entrypoint"], run["Cmd"], run["User"], run["WorkingDir"]) == (
        ["python3", "-m", "thing"],
        ["--flag"],
        "10001:10001",
        "/work",
    )
    assert run["Env"][0].startswith("PATH=/usr/local/sbin:")
    assert "PYTHONPATH=/app" in run["Env"]
    assert (layout.config["os"], layout.config["architecture"]) == ("linux", "amd64")
    assert layout.entry["annotations"]["io.containerd.image.name"] == REF


def test_a_path_of_its_own_replaces_the_usual_one(tmp_path: Path) -> None:
    write_image(tmp_path / "image.tar", REF, [], ImageConfig(env={"PATH": "/only"}))
    assert Layout(tmp_path / "image.tar").config["config"]["Env"] == ["PATH=/only"]


@given(st.dictionaries(st.text("abc", min_size=1, max_size=4), st.binary(max_size=2000), max_size=5))
def test_the_same_content_makes_the_same_file_and_other_content_another(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("images")
    entries = [Entry(name, data) for name, data in files.items()]
    write_image(folder / "one.tar", REF, [layer_of(entries)], CONFIG)
    write_image(folder / "two.tar", REF, [layer_of(reversed(entries))], CONFIG)
    write_image(folder / "three.tar", REF, [layer_of([*entries, Entry("more", b"")])], CONFIG)
    assert (folder / "one.tar").read_bytes() == (folder / "two.tar").read_bytes() != (folder / "three.tar").read_bytes()


def test_a_layer_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    write_image(tmp_path / "image.tar", REF, [layer_of([Entry("big", big)])], CONFIG)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "image.tar").stat().st_size > 64 << 20
    assert peak < 16 << 20


def test_a_layer_that_fails_leaves_the_old_image_alone(tmp_path: Path) -> None:
    out = tmp_path / "image.tar"
    write_image(out, REF, [], CONFIG)
    before = out.read_bytes()

    def broken(stream: BinaryIO) -> None:
        stream.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_image(out, REF, [broken], CONFIG)
    assert out.read_bytes() == before


@pytest.mark.parametrize("size", [0, 511, 8 << 30, 20 << 30])
def test_the_header_of_a_layer_has_one_length_whatever_its_size(size: int) -> None:
    header = oci._header("blobs/sha256/" + 64 * "0", size)
    assert len(header) == tarfile.BLOCKSIZE
    assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == size
