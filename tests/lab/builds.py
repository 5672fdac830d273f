"""Builds the cluster's programs from Go modules, once per content of go.sum and main.go."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.say import say
from tests.lab.state import cache_dir

GO = Path(__file__).parent / "go"
KUBERNETES_VERSION = "v1.37.2"
_LDFLAGS = f"-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}"
_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
_HTTP_ROUTE = "gateway.networking.k8s.io_httproutes.yaml"
_SCALED_OBJECT = "keda.sh_scaledobjects.yaml"
_PROGRESS_EVERY_S = 15.0


class BuildError(RuntimeError):
    """A program could not be built."""


@dataclass(frozen=True)
class Module:
    """One go.mod and the programs that come out of it."""

    name: str
    programs: tuple[tuple[str, str], ...]  # executable, package
    links: tuple[tuple[str, str], ...] = ()  # other name, executable

    @property
    def folder(self) -> Path:
        """Return the folder of go.mod."""
        return GO / self.name

    @property
    def out(self) -> Path:
        """Return the folder of this content's executables."""
        digest = hashlib.sha256(_LDFLAGS.encode())
        for file in ("go.mod", "go.sum", "main.go"):
            path = self.folder / file
            digest.update(path.read_bytes() if path.exists() else b"-")
        return cache_dir() / "bin" / f"{self.name}-{digest.hexdigest()[:12]}"


MODULES: dict[str, Module] = {
    module.name: module
    for module in (
        Module("cp", (("k8s", "."),), (("kubectl", "k8s"),)),
        Module("containerd", tuple((name, f"{_CONTAINERD}/{name}") for name in ("containerd", "containerd-shim-runc-v2", "ctr"))),
        Module("coredns", (("coredns", "github.com/coredns/coredns"),)),
        Module("kwok", (("kwok", "sigs.k8s.io/kwok/cmd/kwok"),)),
        Module("helm", (("helm", "helm.sh/helm/v3/cmd/helm"),)),
        Module("pause", (("pause", "."),)),
        Module("gateway", ()),
        Module("keda", ()),
    )
}


def binary(name: str) -> Path:
    """Return where an executable is once it is built."""
    for module in MODULES.values():
        if name in {made for made, _ in (*module.programs, *module.links)}:
            return module.out / name
    raise LookupError(f"no module builds {name!r}")


def path_entries() -> list[str]:
    """Return the folders that put every built program on PATH."""
    return [str(module.out) for module in MODULES.values()]


def build(names: list[str]) -> None:
    """Build what is missing, in order, saying what is built and how long it takes."""
    missing = [MODULES[name] for name in names if not (MODULES[name].out / "built").exists()]
    if missing and shutil.which("go") is None:
        raise BuildError("the lab builds Kubernetes from source and needs Go >= 1.26.6 on PATH")
    for module in missing:
        with _locked(module):
            if not (module.out / "built").exists():  # somebody else may have built it while we waited
                _build_module(module)


@contextmanager
def _locked(module: Module) -> Iterator[None]:
    module.out.parent.mkdir(parents=True, exist_ok=True)
    with module.out.with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another build of {module.name} …")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build_module(module: Module) -> None:
    part = module.out.with_name(f"{module.out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        for name, package in module.programs:
            seconds = _go_build(module, package, part / name)
            say(f"built {name} in {seconds:.0f} s ({(part / name).stat().st_size >> 20} MiB)")
        for link, target in module.links:
            (part / link).symlink_to(target)
        if module.name == "kwok":
            (part / "stages.yaml").write_text(_kwok_stages(module))
        if module.name == "gateway":
            shutil.copy(_source(module, "sigs.k8s.io/gateway-api") / "config/crd/standard" / _HTTP_ROUTE, part)
        if module.name == "keda":
            shutil.copy(_source(module, "github.com/kedacore/keda/v2") / "config/crd/bases" / _SCALED_OBJECT, part)
        (part / "built").touch()
        shutil.rmtree(module.out, ignore_errors=True)
        part.rename(module.out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}


def _go_build(module: Module, package: str, target: Path) -> float:
    start = time.monotonic()
    say(f"building {target.name} …")
    command = ["go", "build", "-trimpath", f"-ldflags={_LDFLAGS}", "-o", str(target), package]
    process = subprocess.Popen(command, cwd=module.folder, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while True:
        try:
            output, _ = process.communicate(timeout=_PROGRESS_EVERY_S)
        except subprocess.TimeoutExpired:
            say(f"  still building {target.name}, {time.monotonic() - start:.0f} s")
        except BaseException:
            process.kill()
            raise
        else:
            break
    if process.returncode:
        sys.stderr.write("\n".join(output.splitlines()[-20:]) + "\n")
        raise BuildError(f"building {target.name} failed")
    return time.monotonic() - start


def _kwok_stages(module: Module) -> str:
    """Return KWOK's own stages as one file: its executable has none built in."""
    stages = _source(module, "sigs.k8s.io/kwok") / "kustomize" / "stage"
    folders = {"pod/fast": "pod-*.yaml", "node/fast": "node-*.yaml", "node/heartbeat-with-lease": "node-*.yaml"}
    files = [file for folder, pattern in folders.items() for file in sorted((stages / folder).glob(pattern))]
    return "".join(f"---\n{file.read_text()}\n" for file in files)


def http_route_crd() -> Path:
    """Return the CRD of HTTPRoutes in the Gateway API's standard channel, once the module gateway is built."""
    return MODULES["gateway"].out / _HTTP_ROUTE


def scaled_object_crd() -> Path:
    """Return the CRD of KEDA's ScaledObjects, once the module keda is built."""
    return MODULES["keda"].out / _SCALED_OBJECT


def _source(module: Module, path: str) -> Path:
    """Return the folder of a module that another one requires; go checks it against go.sum."""
    command = ["go", "mod", "download", "-json", path]
    downloaded = subprocess.run(command, cwd=module.folder, env=_environment(), capture_output=True, text=True, check=False)
    if downloaded.returncode:
        raise BuildError(f"fetching {path} failed: {downloaded.stderr.strip() or downloaded.stdout.strip()}")
    return Path(json.loads(downloaded.stdout)["Dir"])
