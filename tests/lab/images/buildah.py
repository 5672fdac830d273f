"""``python -m tests.lab.images.buildah [NAME…]``: builds the Dockerfiles themselves and compares the result with the lab's images.

The lab's images are made without running Dockerfiles. This is the proof that it makes no difference: the same files, the same start.
Needs root and buildah, and a package index to install from; bases come from Debian packages, so no container registry is asked.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.images import build, places, rootfs
from tests.lab.images.oci import ImageConfig, layer_of, write_image
from tests.lab.say import say

NAMES = ("operator", "sidecar", "fetcher", "engine-stub")
_BASE, _BUILDER = "lab.local/python:3.11", "lab.local/python-builder:3.11"
_BUILDER_PACKAGES = ("coreutils", "dash", "python3-pip", "python3-venv")
_MARKER = f"usr/lib/python{rootfs.PYTHON}/EXTERNALLY-MANAGED"  # Debian's pip installs nothing while it is there
_CERTIFICATES = Path("/etc/ssl/certs")


@dataclass(frozen=True)
class Contents:
    """What a container of an image gets: how it starts, and the digest of each file of the application."""

    start: dict[str, Any]
    files: dict[str, bytes]


class Buildah:
    """Buildah with a store of its own that is thrown away."""

    def __init__(self, store: Path) -> None:
        self._command = ["buildah", "--root", str(store / "root"), "--runroot", str(store / "run"), "--storage-driver", "vfs"]

    def run(self, *arguments: str) -> str:
        """Run one command and return what it printed; what it complains about goes to the terminal."""
        return subprocess.run([*self._command, *arguments], check=True, text=True, stdout=subprocess.PIPE, cwd=places.REPO).stdout.strip()

    def build(self, name: str) -> str:
        """Build one Dockerfile of the project on the lab's bases and return the image's name."""
        ref = f"localhost/{name}:built"
        arguments = ["build", "--isolation", "chroot", "--pull-never", "--layers=false", "--volume", f"{_CERTIFICATES}:{_CERTIFICATES}:ro"]
        arguments += ["--build-arg", f"BASE={_BASE}", "--build-arg", f"BUILDER={_BUILDER}"]
        self.run(*arguments, "--file", f"images/{name}/Dockerfile", "--tag", ref, ".")
        return ref


def check(names: list[str]) -> list[str]:
    """Build the named Dockerfiles and return a sentence for each difference from the lab's images."""
    if shutil.which("buildah") is None or os.geteuid() != 0:
        raise SystemExit("building the Dockerfiles needs root and buildah: apt-get install buildah")
    build.build(["python", *names])
    differences: list[str] = []
    with tempfile.TemporaryDirectory(dir=places.scratch()) as work:
        buildah = Buildah(Path(work))
        builder = Path(work) / "builder.tar"
        entries = [entry for entry in rootfs.base(*_BUILDER_PACKAGES).entries() if entry.path != _MARKER]
        # The machine may sit behind an authority of its own: installers trust what the machine trusts.
        trust = ImageConfig(env={"SSL_CERT_FILE": str(_CERTIFICATES / "ca-certificates.crt")})
        write_image(builder, _BUILDER, [layer_of(entries)], trust)
        for base in (build.image_path("python"), builder):
            buildah.run("pull", "--quiet", f"oci-archive:{base}")
        for name in names:
            say(f"building images/{name}/Dockerfile")
            archive = Path(work) / f"{name}.tar"
            buildah.run("push", "--quiet", buildah.build(name), f"oci-archive:{archive}")
            differences += compare(name, contents(archive), contents(build.image_path(name)))
    return differences


def contents(archive: Path) -> Contents:
    """Read an image file, whoever wrote it, with later layers over earlier ones."""
    with tarfile.open(archive) as image:

        def blob(descriptor: dict[str, Any]) -> bytes:
            stream = image.extractfile(f"blobs/{descriptor['digest'].replace(':', '/')}")
            return stream.read() if stream else b""

        index = image.extractfile("index.json")
        manifest = json.loads(blob(json.load(index)["manifests"][0])) if index else {}
        config = json.loads(blob(manifest["config"]))["config"]
        files: dict[str, bytes] = {}
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(blob(layer))) as tar:
                files |= {f"/{member.name.removeprefix('./')}": _content(tar, member) for member in tar if member.isfile()}
    start = {key: config.get(key) for key in ("Entrypoint", "Cmd", "User", "Env", "WorkingDir")}
    return Contents(start | {"Env": sorted(start["Env"] or []), "WorkingDir": start["WorkingDir"] or "/"}, files)


def compare(name: str, built: Contents, lab: Contents) -> list[str]:
    """Return the differences; compiled files are left out, as they may carry dates, and so are console scripts, which nothing runs."""
    found = [
        f"{name}: {key} is {built.start[key]} by its Dockerfile and {lab.start[key]} in the lab"
        for key in lab.start
        if built.start[key] != lab.start[key]
    ]
    ours, theirs = ({path for path in side.files if _counts(path)} for side in (lab, built))
    found += [f"{name}: {path} is in the Dockerfile's image alone" for path in sorted(theirs - ours)]
    found += [f"{name}: {path} is in the lab's image alone" for path in sorted(ours - theirs)]
    found += [f"{name}: {path} differs" for path in sorted(ours & theirs) if lab.files[path] != built.files[path]]
    return found


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    return stream.read() if stream else b""


def _counts(path: str) -> bool:
    # Installers keep notes of where and how they installed.
    notes = ("/RECORD", "/direct_url.json", "/uv_cache.json", "/INSTALLER", "/REQUESTED")
    return path.startswith("/app/") and not path.endswith((".pyc", "/.lock", *notes)) and not path.startswith("/app/bin/")


if __name__ == "__main__":
    problems = check(sys.argv[1:] or list(NAMES))
    for problem in problems:
        say(problem)
    say("the Dockerfiles and the lab make the same images" if not problems else f"{len(problems)} differences")
    sys.exit(bool(problems))
