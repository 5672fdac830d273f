"""The lab as tests see it."""

import json
import os
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Self

from tests.lab import boot, builds, isolate, namespaces, procs, up
from tests.lab.clean import outer_process
from tests.lab.host import search_path
from tests.lab.state import MARKER, Settings, State
from tests.lab.up import LabError
from tests.lab.wait import until

INSIDE = "LLM_LAB_INSIDE"


@dataclass(frozen=True)
class Lab:
    """One lab: the repository's, unless LLM_LAB_DIR names another."""

    state: State

    @classmethod
    def current(cls) -> Self:
        """Return the lab the environment names."""
        return cls(State.current())

    @property
    def kubeconfig(self) -> Path:
        """Return the administrator's kubeconfig; its address is reachable from inside."""
        return self.state.kubeconfig()

    def up(self, settings: Settings | None = None) -> bool:
        """Start it, or find that it is up already (False)."""
        return up.up(self.state, settings or Settings())

    def down(self) -> list[str]:
        """End it and leave nothing behind; return what there was."""
        return up.down(self.state)

    @property
    def settings(self) -> Settings:
        """Return what the running lab was started with."""
        found = up.running_settings(self.state)
        if found is None:
            raise LabError("no lab is up: `python -m tests.lab up`")
        return found

    @property
    def has_pod_addresses(self) -> bool:
        """Say whether pods' addresses can be reached from inside."""
        return self.settings.has_pod_addresses

    def require_pod_addresses(self) -> None:
        """Fail, in words, where this host gave the lab no network of its own."""
        if not self.has_pod_addresses:
            raise LabError(
                "this test needs addresses of pods, and this lab has a loopback only: the host allows this user no network namespace "
                "(sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces, or AppArmor's restriction of user namespaces)"
            )

    @property
    def inside(self) -> bool:
        """Say whether this process already runs inside this lab's network."""
        return os.environ.get(INSIDE) == str(self.state.root)

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        """Return the command that runs argv inside the lab's network."""
        plain = [str(word) for word in argv]
        settings = self.settings
        if self.inside:
            return plain
        resolv_conf = self.state.config / "exec-resolv.conf" if settings.node else None
        return [*isolate.enter_command(self._outer.pid, settings, resolv_conf), *plain]

    def environment(self) -> dict[str, str]:
        """Return the environment of commands inside: kubectl, helm and the kubeconfig are found."""
        path = os.pathsep.join([*builds.path_entries(), search_path()])
        root = str(self.state.root)
        return {**os.environ, "PATH": path, "KUBECONFIG": str(self.kubeconfig), INSIDE: root, MARKER: root, "LLM_LAB_DIR": root}

    def exec(self, argv: Sequence[str | Path], *, stdin: str | None = None, timeout_s: float = 600, check: bool = True) -> str:
        """Run a command inside and return what it printed."""
        done = subprocess.run(
            self.command(argv), env=self.environment(), input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if check and done.returncode:
            raise LabError(f"{' '.join(map(str, argv))}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator."""
        return self.exec(["kubectl", *args], stdin=stdin)

    def create_namespace(self, name: str, labels: dict[str, str] | None = None) -> None:
        """Create a namespace that enforces the Pod Security Standard `restricted`."""
        self.kubectl("create", "-f", "-", stdin=json.dumps(namespaces.restricted(name, labels)))

    def load_image(self, tar: Path) -> str:
        """Load an OCI archive into the node, unless the node has just that image; return what was done in words."""
        settings = self.settings
        if not settings.node:
            raise LabError("this lab has no node that could hold images: it was started with --mode control-plane")
        with tarfile.open(tar) as archive:
            index = archive.extractfile("index.json")
            assert index is not None
            manifest = json.load(index)["manifests"][0]
        ref = manifest["annotations"]["io.containerd.image.name"]
        if manifest["digest"] in self._ctr("images", "list", f"name=={ref}"):
            return f"{ref}: already there"
        with tar.open("rb") as file:
            self._ctr("images", "import", "-", stdin=file)
        return f"{ref}: loaded"

    def _ctr(self, *args: str, stdin: IO[bytes] | None = None) -> str:
        prefix = ["nsenter", f"--target={self._outer.pid}", "--mount", "--net", "--"]
        command = [*prefix, *boot.ctr_command(self.state, self.settings), *args]
        done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=False, env={"PATH": search_path()})
        if done.returncode:
            raise LabError(f"ctr {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def stop(self, component: str) -> None:
        """Kill a component and hold it down."""
        self._known(component)
        (self.state.stopped / component).touch()
        until(lambda: not (self.state.running / component).exists(), timeout_s=10, what=f"{component} stopped")

    def start(self, component: str) -> None:
        """Let a stopped component run again."""
        self._known(component)
        (self.state.stopped / component).unlink(missing_ok=True)
        until((self.state.running / component).exists, timeout_s=10, what=f"{component} started")

    def audit_events(self) -> Iterable[dict[str, Any]]:
        """Return what the API server has recorded so far."""
        for line in self.state.audit_log.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)

    @property
    def components(self) -> dict[str, dict[str, int]]:
        """Return each component that runs, with its process number here, its memory and how often it was started again."""
        loopback = self.settings.network == "loopback"
        numbers = {} if loopback else procs.inner_pids(self._outer)
        found = {}
        for file in sorted(self.state.running.iterdir()):
            said = json.loads(file.read_text())
            pid = said["pid"] if loopback else numbers.get(said["pid"], 0)
            found[file.name] = {"pid": pid, "restarts": said["restarts"], "mib": int(procs.memory_mib(pid)) if pid else 0}
        return found

    @cached_property
    def _outer(self) -> procs.Process:
        outer = outer_process(self.state)
        if outer is None or not outer.alive:
            raise LabError("no lab is up: `python -m tests.lab up`")
        return outer

    def _known(self, component: str) -> None:
        _ = self.settings
        names = {file.name for folder in (self.state.running, self.state.stopped) for file in folder.iterdir()}
        if component not in names:
            raise LabError(f"no component {component!r}; there are {', '.join(sorted(names))}")
