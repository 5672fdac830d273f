"""An image made from another by one more layer: what a test changes in a product it is not allowed to switch."""

import json
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from tests.lab.images.archive import Entry
from tests.lab.images.oci import ImageConfig, Layer, layer_of, write_image


def overlaid(base: Path, out: Path, ref: str, entries: Iterable[Entry]) -> None:
    """Write the image ``ref``: all of ``base``, and the entries over it. It starts as the base does."""
    with tarfile.open(base) as archive:
        manifest = _blob(archive, _json(archive, "index.json")["manifests"][0]["digest"])
        config = _blob(archive, manifest["config"]["digest"])["config"]
        layers = [_copy(archive, _path(each["digest"])) for each in manifest["layers"]]
        write_image(out, ref, [*layers, layer_of(entries)], _start(config))


def _start(config: dict[str, Any]) -> ImageConfig:
    return ImageConfig(
        entrypoint=tuple(config.get("Entrypoint", ())),
        cmd=tuple(config.get("Cmd", ())),
        user=config.get("User", ""),
        env=dict(each.split("=", 1) for each in config["Env"]),
        workdir=config["WorkingDir"],
        labels=config.get("Labels", {}),
    )


def _copy(archive: tarfile.TarFile, path: str) -> Layer:
    def write(out: BinaryIO) -> None:
        layer = archive.extractfile(path)
        assert layer is not None
        shutil.copyfileobj(layer, out, 1 << 20)

    return write


def _blob(archive: tarfile.TarFile, digest: str) -> Any:
    return _json(archive, _path(digest))


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _json(archive: tarfile.TarFile, path: str) -> Any:
    file = archive.extractfile(path)
    assert file is not None
    return json.load(file)
