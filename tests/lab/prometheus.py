"""A real Prometheus for tests: the program from Debian's package, which is unpacked and not installed, so no service starts.

As a command it sees to it that the program is there: ``python -m tests.lab.prometheus``. Inside the lab there is no way out to fetch it.
"""

import fcntl
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.files import write
from tests.lab.say import say
from tests.lab.state import cache_dir
from tests.lab.wait import until

_READY_S = 60.0
_STOP_S = 15.0


def program() -> Path:
    """Return the program, or raise FileNotFoundError that says how to get it."""
    found = shutil.which("prometheus")
    path = Path(found) if found else _kept()
    if not path.exists():
        raise FileNotFoundError("there is no prometheus on PATH; where apt-get is, `python -m tests.lab.prometheus` fetches one")
    return path


def fetch() -> None:
    """Fetch Debian's package and keep the program, unless there is one."""
    if shutil.which("prometheus") or _kept().exists():
        return
    _kept().parent.mkdir(parents=True, exist_ok=True)
    with _kept().with_suffix(".lock").open("w") as lock, tempfile.TemporaryDirectory(dir=_kept().parent) as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _kept().exists():
            return
        say("fetching prometheus …")
        if _run("apt-get", "download", "prometheus", cwd=folder):
            _must("apt-get", "update", "-qq", cwd=folder)
            _must("apt-get", "download", "prometheus", cwd=folder)
        (package,) = Path(folder).glob("prometheus_*.deb")
        _must("dpkg-deb", "--extract", str(package), "root", cwd=folder)
        (Path(folder) / "root/usr/bin/prometheus").rename(_kept())


@contextmanager
def running(folder: Path, target: str) -> Iterator[str]:
    """Run a Prometheus that reads the metrics of ``target``, HOST:PORT, once a second; yield its address."""
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [{"job_name": "tests", "static_configs": [{"targets": [target]}]}]}
    write(folder / "prometheus.yml", json.dumps(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = {"config.file": folder / "prometheus.yml", "storage.tsdb.path": folder / "data", "web.listen-address": address}
    command = [str(program()), *(f"--{name}={value}" for name, value in flags.items())]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: _is_ready(address), timeout_s=_READY_S, what="a prometheus that is ready")
        yield f"http://{address}"
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _kept() -> Path:
    return cache_dir() / "prometheus" / "prometheus"


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _run(*command: str, cwd: str) -> str:
    """Run a command; return what it complained of if it failed, else nothing."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    return (done.stderr.strip() or "it failed") if done.returncode else ""


def _must(*command: str, cwd: str) -> None:
    if complaint := _run(*command, cwd=cwd):
        raise SystemExit(f"{' '.join(command)}: {complaint[-400:]}; put a prometheus on PATH instead")


if __name__ == "__main__":
    try:
        fetch()
    except FileNotFoundError as error:
        sys.exit(f"{error}: put a prometheus on PATH instead")
