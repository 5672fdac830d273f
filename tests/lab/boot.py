"""The order in which a lab comes up; runs inside it, as its first process."""

import json
import subprocess
from pathlib import Path
from typing import NoReturn

from tests.lab import addresses, builds, cgroups, components, configs, isolate, kwok, probe
from tests.lab.api import Api
from tests.lab.components import Extra
from tests.lab.state import MARKER, Settings, State
from tests.lab.supervisor import ComponentError, Supervisor
from tests.lab.wait import WaitTimeoutError

_STEP_TIMEOUT_S = 120.0


class Boot:
    """Brings components up as early as what they need is there, and says each step."""

    def __init__(self, state: State, settings: Settings, supervisor: Supervisor, extras: list[Extra]) -> None:
        """Take the lab to boot."""
        self._state = state
        self._settings = settings
        self._supervisor = supervisor
        self._extras = extras
        self._api = Api(state)

    def run(self) -> None:
        """Come up whole, or raise ComponentError."""
        node = self._settings.node
        start = self._supervisor.start
        start("etcd", "kube-apiserver", *(["containerd"] if node else []), *(extra.name for extra in self._extras))
        if node:
            self._step("containerd", "containerd", self._containerd_answers)
            self._import_pause()
        self._step("kube-apiserver", "API server live", lambda: self._api.text("/livez") == "ok")
        if node:
            start("kubelet")
        self._step("kube-apiserver", "API server ready", lambda: self._api.text("/readyz") == "ok")
        start("kube-controller-manager", "kube-scheduler")
        if self._settings.kwok:
            start("kwok")
        if node:
            start("kube-proxy", "coredns")
        service_account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._step("kube-controller-manager", "service accounts", lambda: bool(self._api.text(service_account)))
        if node:
            self._step("kubelet", "node Ready", self._node_ready)
            self._advertise_gpus()
            self._step("kubelet", f"{self._settings.gpus} GPUs allocatable", self._gpus_allocatable)
            self._step("kube-proxy", "service network", lambda: probe.tcp(addresses.APISERVER_SERVICE_IP, 443))
            self._step("coredns", "service names", lambda: probe.name(addresses.NODE_IP, "kubernetes.default.svc.cluster.local"))
        if self._settings.kwok:
            self._step("kwok", "KWOK", lambda: probe.http(f"http://127.0.0.1:{self._settings.ports.kwok}/healthz"))
            for simulated in kwok.nodes(self._settings.kwok_nodes):
                self._api.text("/api/v1/nodes", method="POST", body=simulated)
            if self._settings.kwok_nodes:
                self._step("kwok", f"{self._settings.kwok_nodes} simulated nodes Ready", self._simulated_ready)

        for extra in self._extras:
            self._step(extra.name, extra.name, extra.ready)

    def _step(self, component: str, what: str, condition: "kwok.Condition") -> None:
        try:
            self._supervisor.until(condition, timeout_s=_STEP_TIMEOUT_S, what=what)
        except WaitTimeoutError as error:
            raise ComponentError(component, str(error)) from error
        tell(self._state, step=what)

    def _ctr(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*ctr_command(self._state, self._settings), *args], capture_output=True, text=True, check=False)

    def _containerd_answers(self) -> bool:
        return self._ctr("version").returncode == 0

    def _import_pause(self) -> None:
        from tests.lab.images.build import image_path  # noqa: PLC0415  # needs packages that a lab without a node does without

        done = self._ctr("images", "import", str(image_path("pause")))
        if done.returncode:
            raise ComponentError("containerd", f"the pause image does not load: {done.stderr.strip()}")

    def _node(self) -> dict[str, object]:
        status: dict[str, object] = self._api.json(f"/api/v1/nodes/{addresses.NODE_NAME}")["status"]
        return status

    def _node_ready(self) -> bool:
        return is_ready(self._node())

    def _advertise_gpus(self) -> None:
        # The kubelet would copy the capacity to allocatable by itself, at its next report two seconds later.
        patch = [
            {"op": "add", "path": f"/status/{kind}/nvidia.com~1gpu", "value": str(self._settings.gpus)}
            for kind in ("capacity", "allocatable")
        ]
        path = f"/api/v1/nodes/{addresses.NODE_NAME}/status"
        self._api.text(path, method="PATCH", body=patch, content_type="application/json-patch+json")

    def _gpus_allocatable(self) -> bool:
        allocatable = self._node()["allocatable"]
        return isinstance(allocatable, dict) and allocatable.get("nvidia.com/gpu") == str(self._settings.gpus)

    def _simulated_ready(self) -> bool:
        found = self._api.json(f"/api/v1/nodes?labelSelector={kwok.SELECTOR}")["items"]
        return len(found) == self._settings.kwok_nodes and all(is_ready(node["status"]) for node in found)


def is_ready(status: dict[str, object]) -> bool:
    """Say whether a node's status has a true Ready condition."""
    conditions = status.get("conditions", [])
    return isinstance(conditions, list) and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def tell(state: State, **event: object) -> None:
    """Tell whoever follows the start what has happened."""
    with state.events.open("a") as file:
        file.write(json.dumps(event) + "\n")


def ctr_command(state: State, settings: Settings) -> list[str]:
    """Return how to talk to containerd, from inside the lab's mount namespace."""
    run = configs.run_dir(state, settings)
    return [str(builds.binary("ctr")), f"--address={run}/containerd.sock", "--namespace=k8s.io"]


def _extras(state: State, settings: Settings) -> list[Extra]:
    if not settings.s3:
        return []
    from tests.lab import s3_component  # noqa: PLC0415  # needs packages that the lab does without otherwise

    return [s3_component.component(state, configs.run_dir(state, settings))]


def supervise(root: Path) -> NoReturn:
    """Be the lab's first process."""
    state = State(root)
    settings = Settings.load(state.settings.read_text())
    groups = cgroups.load(state.hierarchies.read_text()) if settings.node else ()
    environment = isolate.environment(state, builds.path_entries(), MARKER)
    extras = _extras(state, settings)
    commands = components.commands(state, settings, builds.binary) | {extra.name: extra.command for extra in extras}
    supervisor = Supervisor(state, commands, environment, alone=settings.network == "loopback")
    try:
        isolate.settle(state, settings, groups)
        for extra in extras:
            extra.prepare()
        tell(state, step="namespaces" if settings.has_pod_addresses else "no namespaces: loopback only")
        Boot(state, settings, supervisor, extras).run()
    except BaseException as error:
        component = error.component if isinstance(error, ComponentError) else "supervisor"
        tell(state, failed=f"{type(error).__name__}: {error}", component=component)
        supervisor.end_all()
        raise
    tell(state, up=True)
    supervisor.run_forever()
