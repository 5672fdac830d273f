"""Container images as OCI layout tars, written in one pass without a registry, a daemon or a temporary copy.

A layer is streamed straight into the image file while it is hashed; its tar header, which must carry name and size, is written
last. So an engine image of several gigabytes costs its own size on disk and no memory.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from tests.lab.images.archive import Entry, write_tar

Layer = Callable[[BinaryIO], None]
"""Writes one uncompressed layer tar to the stream it is given; the same bytes every time."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_PLATFORM = {"architecture": "amd64", "os": "linux"}


@dataclass(frozen=True)
class ImageConfig:
    """How a container of the image starts, in the words of a Dockerfile."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    labels: dict[str, str] = field(default_factory=dict)


def layer_of(entries: Iterable[Entry]) -> Layer:
    """Return the layer that holds these entries."""
    listed = list(entries)

    def write(out: BinaryIO) -> None:
        write_tar(out, listed)

    return write


def write_image(out: Path, ref: str, layers: Iterable[Layer], config: ImageConfig) -> str:
    """Write the image to ``out`` under the name ``ref``, whole or not at all, and return its manifest digest."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.part")
    with part.open("wb") as file:
        blobs = [_stream_blob(file, layer) for layer in layers]
        image = _add_json(file, _image_config(config, [blob["digest"] for blob in blobs]), _CONFIG)
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": image, "layers": blobs}
        entry = _add_json(file, manifest, _MANIFEST)
        digest = str(entry["digest"])
        # containerd names the image after the first annotation, other tools after the second.
        entry |= {"annotations": {"io.containerd.image.name": ref, "org.opencontainers.image.ref.name": ref}, "platform": _PLATFORM}
        _add_file(file, "index.json", _encode({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]}))
        _add_file(file, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        file.write(bytes(2 * tarfile.BLOCKSIZE))
    part.replace(out)
    return digest


class _Hashing(io.RawIOBase):
    """Passes bytes on and keeps their digest and count."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.sha256 = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._out.write(data)
        self.sha256.update(data)
        self.size += len(data)
        return len(data)


def _stream_blob(file: BinaryIO, layer: Layer) -> dict[str, Any]:
    header = file.tell()
    file.write(bytes(tarfile.BLOCKSIZE))
    stream = _Hashing(file)
    layer(stream)  # type: ignore[arg-type]  # a RawIOBase with all of BinaryIO that a layer uses: write
    file.write(bytes(-stream.size % tarfile.BLOCKSIZE))
    end = file.tell()
    digest = stream.sha256.hexdigest()
    file.seek(header)
    file.write(_header(f"blobs/sha256/{digest}", stream.size))
    file.seek(end)
    return {"mediaType": _LAYER, "digest": f"sha256:{digest}", "size": stream.size}


def _image_config(config: ImageConfig, diff_ids: list[str]) -> dict[str, Any]:
    env = {"PATH": _PATH} | config.env
    run: dict[str, Any] = {"Env": [f"{key}={value}" for key, value in env.items()], "WorkingDir": config.workdir}
    optional = {"User": config.user, "Entrypoint": list(config.entrypoint), "Cmd": list(config.cmd), "Labels": config.labels}
    run |= {key: value for key, value in optional.items() if value}
    return _PLATFORM | {"created": "1970-01-01T00:00:00Z", "config": run, "rootfs": {"type": "layers", "diff_ids": diff_ids}}


def _add_json(file: BinaryIO, value: Any, media_type: str) -> dict[str, Any]:
    data = _encode(value)
    digest = hashlib.sha256(data).hexdigest()
    _add_file(file, f"blobs/sha256/{digest}", data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _add_file(file: BinaryIO, name: str, data: bytes) -> None:
    file.write(_header(name, len(data)) + data + bytes(-len(data) % tarfile.BLOCKSIZE))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    # GNU writes sizes above 8 GiB into the same single block, so a header's length never depends on what it says.
    return info.tobuf(tarfile.GNU_FORMAT)


def _encode(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
