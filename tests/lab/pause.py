"""The pause image as an OCI archive: one static executable, no tool needed."""

import gzip
import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

from tests.lab.configs import PAUSE_IMAGE

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def write_tar(executable: Path, target: Path) -> None:
    """Write an image whose only file and entry point is the executable."""
    layer = _tar({"pause": (executable.read_bytes(), 0o755)})
    packed = gzip.compress(layer, mtime=0)
    config = _json(
        {
            "architecture": _architecture(),
            "os": "linux",
            "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": _digest(config), "size": len(config)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": _digest(packed), "size": len(packed)}],
        }
    )
    entry = {"mediaType": _MANIFEST, "digest": _digest(manifest), "size": len(manifest)}
    index = _json({"schemaVersion": 2, "manifests": [{**entry, "annotations": {"io.containerd.image.name": PAUSE_IMAGE}}]})
    blobs = {f"blobs/sha256/{_digest(blob).removeprefix('sha256:')}": (blob, 0o644) for blob in (packed, config, manifest)}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(_tar({"oci-layout": (_json({"imageLayoutVersion": "1.0.0"}), 0o644), "index.json": (index, 0o644), **blobs}))


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, (data, mode) in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()
