"""Base file systems made from Debian packages: Python without a shell, and the same with what an engine needs besides."""

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.host import ensure_packages
from tests.lab.images import debian, places
from tests.lab.images.archive import Entry, directory, tree
from tests.lab.state import cache_dir

PYTHON = "3.11"
_PYTHON_PACKAGES = ("python3-minimal", f"python{PYTHON}-minimal", f"libpython{PYTHON}-stdlib", "ca-certificates", "libstdc++6")
_UNUSED = (
    "bin/tar", "dev", "sbin", "usr/sbin", "usr/libexec", "var/cache", "var/log",
    "etc/rmt", "etc/alternatives", "etc/apt", "etc/cron.daily", "etc/dpkg", "etc/fstab", "etc/hostname", "etc/logrotate.d",
    "etc/resolv.conf", "lib/systemd", "usr/lib/systemd", "usr/lib/dpkg", "var/lib/apt", "var/lib/dpkg",
    "usr/bin/dpkg*", "usr/bin/py3*", "usr/bin/update-alternatives", "usr/bin/perl*", "usr/lib/x86_64-linux-gnu/perl*", "usr/share/perl*",
    "usr/lib/python3.11/lib2to3", "usr/lib/python3.11/pydoc_data",
    "usr/share/bug", "usr/share/doc", "usr/share/lintian", "usr/share/locale", "usr/share/man",
)  # fmt: skip
"""What package management and people need, and a container does not."""
_FILES = {
    "etc/passwd": "root:x:0:0::/:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    # Without it glibc asks DNS for "localhost" first.
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


@dataclass(frozen=True)
class Rootfs:
    """A finished base: its tree on disk, cached by what it was made from."""

    root: Path

    def entries(self) -> Iterator[Entry]:
        """Yield the content of the base as a layer."""
        yield from tree(self.root)
        yield from (directory(name) for name in ("dev", "proc", "sys"))
        yield directory("tmp", 0o1777)

    def compile(self, folder: Path, shown_as: str) -> None:
        """Compile the Python files under ``folder`` with the base's own interpreter, as files that lie at ``shown_as`` in the image."""
        # -B and -f: else the modules that compileall itself imports would be cached with the date they have here.
        command = [*self.python(), "-B", "-s", "-S", "-m", "compileall", "-f", "-q", "-j", "2", "--invalidation-mode", "unchecked-hash"]
        command += ["-s", str(folder), "-p", shown_as, str(folder)]
        # Packages carry templates that only look like Python: what does not compile is shipped as it is, and the exit code says nothing.
        subprocess.run(command, env={"PYTHONHASHSEED": "0"}, check=False, stdout=subprocess.DEVNULL)

    def python(self) -> list[str]:
        """Return the command that runs the base's own interpreter on this machine, through its own loader: no root, no chroot."""
        libraries = [self.root / "lib/x86_64-linux-gnu", self.root / "usr/lib/x86_64-linux-gnu"]
        loader = libraries[0] / "ld-linux-x86-64.so.2"
        return [str(loader), "--library-path", ":".join(map(str, libraries)), str(self.root / f"usr/bin/python{PYTHON}")]


def base(*extra_packages: str) -> Rootfs:
    """Return the Python base with some more Debian packages, made when it is not there."""
    packages = sorted({*_PYTHON_PACKAGES, *extra_packages})
    sources = debian.host_sources()
    root = cache_dir() / "rootfs" / places.fingerprint(*packages, *sources, places.own_source("rootfs"))
    if not root.exists():
        with tempfile.TemporaryDirectory(dir=places.scratch()) as work:
            made = _extract(Path(work), packages, sources)
            _finish(made)
            root.parent.mkdir(parents=True, exist_ok=True)
            made.rename(root)
    return Rootfs(root)


def _extract(work: Path, packages: list[str], sources: list[str]) -> Path:
    if shutil.which("mmdebstrap") is None:
        ensure_packages(node=True)
    raw = work / "raw.tar"
    command = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={','.join(packages)}", debian.SUITE, str(raw), "-"]
    subprocess.run(command, input="\n".join(sources) + "\n", text=True, check=True, env=os.environ | {"TMPDIR": str(work)})
    root = work / "root"
    with tarfile.open(raw) as tar:
        # Links point to absolute paths inside the image: the "tar" filter leaves them alone. Device nodes need root and are not wanted.
        tar.extractall(root, members=(member for member in tar if not member.isdev()), filter="tar")
    raw.unlink()
    return root


def _finish(root: Path) -> None:
    for pattern in _UNUSED:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name, text in _FILES.items():
        (root / name).write_text(text)
    # What the package's maintainer script would do; a TLS client that finds no authorities does not even start.
    authorities = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    (root / "etc/ssl/certs/ca-certificates.crt").write_text("".join(path.read_text() for path in authorities))
    library = root / f"usr/lib/python{PYTHON}"
    Rootfs(root).compile(library, f"/usr/lib/python{PYTHON}")
