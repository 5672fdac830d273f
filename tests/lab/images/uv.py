"""The few uv commands that fill an image with locked, hash-checked packages."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.lab.images import places, rootfs

_PLATFORM = "x86_64-manylinux_2_36"
"""Debian bookworm's C library."""


def export(extra: str) -> str:
    """Return the locked requirements of one extra of the project, with hashes and without the project itself."""
    command = [_uv(), "export", "--frozen", "--quiet", "--no-dev", "--no-emit-project", "--no-header", "--no-annotate", "--extra", extra]
    return subprocess.run(command, cwd=places.REPO, check=True, text=True, stdout=subprocess.PIPE).stdout


def install(target: Path, requirements: Iterable[Path], *, options: Iterable[str] = ()) -> None:
    """Install requirement files with all their hashes into ``target``, as wheels for the base image's Python."""
    command = [_uv(), "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "--target", str(target)]
    command += ["--python", sys.executable, "--python-version", rootfs.PYTHON, "--python-platform", _PLATFORM, *options]
    for path in requirements:
        command += ["--requirement", str(path)]
    subprocess.run(command, cwd=places.REPO, check=True)


def _uv() -> str:
    own = places.REPO / ".cache/uv/bin/uv"
    found = os.environ.get("UV") or shutil.which("uv") or (str(own) if own.exists() else None)
    if found is None:
        raise RuntimeError("uv is not on PATH and not in .cache/uv: run `make install`")
    return found
