"""The engine image: a real vLLM on CPU that starts like upstream's GPU image, so that the same engine profile runs both."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.lab.images import elf, rootfs, vllm_site
from tests.lab.images.archive import Entry, script, tree
from tests.lab.images.oci import ImageConfig, layer_of, write_image

REF = f"lab.local/vllm-cpu:{vllm_site.VERSION}"
_ENTRYPOINT = ("vllm", "serve")
_WARM_CACHE = "/usr/local/share/vllm-cache"
_LAUNCHER = f"""\
#!/usr/bin/python{rootfs.PYTHON}
import contextlib
import shutil
import sys

import vllm.envs
from vllm.entrypoints.cli.main import main

if __name__ == "__main__":  # what it starts imports it again
    # Without it each new pod loads torch once more, only to look at the class of its model.
    with contextlib.suppress(OSError):
        shutil.copytree("{_WARM_CACHE}", vllm.envs.VLLM_CACHE_ROOT, dirs_exist_ok=True, copy_function=shutil.copyfile)
    sys.exit(main())
"""
_SKIPPED = (
    # Loaded by name at run time, and only where there is a GPU.
    "nvidia/cudnn/lib/libcudnn_",
    "nvidia/cu13/lib/libcusolver",
    "nvidia/cu13/lib/libnvperf_",
    "nvidia/cu13/lib/libnvrtc.alt.so",
    "nvidia/cu13/lib/libnvrtc-builtins.",
    "nvidia/nvshmem/lib/libnvshmem_device.bc",
    "torch/lib/libtorch_cuda_linalg.so",
    # For people who compile against it.
    "torch/include",
    "nvidia/cu13/include",
)
_HOLLOW = (
    # Asked for by libtorch_cuda as it is loaded, and never called without a GPU: 2 GB that every start of a lab would have to unpack.
    "nvidia/cu13/lib/libcublas",
    "nvidia/cu13/lib/libcufft.so",
    "nvidia/cu13/lib/libcurand.so",
    "nvidia/cu13/lib/libcusparse.so",
    "nvidia/cu13/lib/libnvJitLink.so",
    "nvidia/cu13/lib/libnvrtc.so",
    "nvidia/cusparselt/lib/libcusparseLt.so",
    "nvidia/nccl/lib/libnccl.so",
    "nvidia/nvshmem/lib/libnvshmem_host.so",
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
        layer_of([*_packages(site, light), script("usr/local/bin/vllm", _LAUNCHER), *tree(vllm_site.warm_cache(), _WARM_CACHE)]),
    ]
    write_image(out, REF, layers, ImageConfig(entrypoint=_ENTRYPOINT))


def _packages(site: Path, names: list[str]) -> Iterator[Entry]:
    entries = tree(site, skip=lambda path: path.partition("/")[0] not in names or path.startswith(_SKIPPED))
    for entry in entries:
        hollow = entry.path.startswith(_HOLLOW) and isinstance(entry.content, Path)
        content = elf.hollow(site / entry.path) if hollow else entry.content
        yield replace(entry, path=f"{vllm_site.IMAGE_DIR}/{entry.path}", content=content)
