"""What the lab needs of the machine: a few Debian packages."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.lab.say import say

_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
CNI_BIN = Path("/usr/lib/cni")

# A program (or, with a slash, a file) that shows a package is there → Debian's name of it.
_NODE = {
    "runc": "runc",
    str(CNI_BIN / "ptp"): "containernetworking-plugins",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
}
_ANY = {"openssl": "openssl", "ip": "iproute2", "unshare": "util-linux", "nsenter": "util-linux", "setpriv": "util-linux"}


class HostError(RuntimeError):
    """The machine lacks something the lab cannot bring."""


def search_path() -> str:
    """Return PATH with the folders of system programs, which ordinary users' PATH lacks."""
    return f"{os.environ.get('PATH', '/usr/bin:/bin')}:{_SBIN}"


def missing_packages(*, node: bool) -> list[str]:
    """Return Debian's names of what is not installed."""
    wanted = _ANY | _NODE if node else _ANY
    return sorted({package for program, package in wanted.items() if shutil.which(program, path=search_path()) is None})


def ensure_packages(*, node: bool) -> None:
    """Install what is missing where that is possible, else say what to install."""
    missing = missing_packages(node=node)
    if not missing:
        return
    hint = f"the lab needs: apt-get install {' '.join(missing)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise HostError(hint)
    say(f"installing {' '.join(missing)} …")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HostError(f"{hint} ({' '.join(command[:2])} failed: {done.stderr.strip()[-400:]})")


def require_root() -> None:
    """Refuse the full mode to ordinary users in words that help."""
    if os.geteuid() != 0:
        raise HostError(
            "a real node needs root (mounts, cgroups, containers). Run it as root, use `--mode control-plane` for the API server alone, "
            "or run the demo on a cluster of your own: CLUSTER=kind (needs docker) or CLUSTER=current"
        )
