"""Where a lab keeps its things on disk, and what was asked of it."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, Self

REPOSITORY = Path(__file__).resolve().parents[2]
MARKER = "LLM_LAB_MARK"  # in the environment of every process of a lab: how `down` finds what has no other trace

Mode = Literal["full", "control-plane"]
Network = Literal["netns", "userns", "loopback"]


def cache_dir() -> Path:
    """Return the folder that outlives labs: binaries, images, models."""
    return Path(os.environ.get("LLM_CACHE_DIR") or REPOSITORY / ".cache").resolve()


@dataclass(frozen=True)
class State:
    """Paths of one lab; two labs differ in root and in nothing else."""

    root: Path

    @classmethod
    def current(cls) -> Self:
        """Return the lab the environment names, by default the one of this repository."""
        return cls(Path(os.environ.get("LLM_LAB_DIR") or cache_dir() / "lab").resolve())

    @property
    def name(self) -> str:
        """Return a name that no lab with another root has."""
        return "llm-lab-" + hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    @property
    def pki(self) -> Path:
        """Return the folder of keys, certificates and tokens."""
        return self.root / "pki"

    @property
    def config(self) -> Path:
        """Return the folder of the components' configuration files."""
        return self.root / "config"

    @property
    def logs(self) -> Path:
        """Return the folder with one log a component."""
        return self.root / "log"

    @property
    def last_logs(self) -> Path:
        """Return the folder to which the logs of an ended lab move."""
        return self.root / "log.last"

    @property
    def volatile(self) -> Path:
        """Return the folder of sockets and the store where no memory file system can be mounted."""
        return self.root / "run"

    @property
    def hierarchies(self) -> Path:
        """Return the file that tells the first process where its control groups are mounted."""
        return self.config / "hierarchies.json"

    @property
    def disk(self) -> Path:
        """Return the folder for images and volumes when memory should be spared."""
        return self.root / "disk"

    @property
    def stopped(self) -> Path:
        """Return the folder in which a file named like a component keeps that component down."""
        return self.root / "stopped"

    @property
    def running(self) -> Path:
        """Return the folder in which the supervisor says which components run."""
        return self.root / "running"

    @property
    def settings(self) -> Path:
        """Return the file that says what the running lab was started with."""
        return self.root / "settings.json"

    @property
    def events(self) -> Path:
        """Return the file to which the supervisor appends each step of the start."""
        return self.root / "events.jsonl"

    @property
    def process(self) -> Path:
        """Return the file that names the outermost process."""
        return self.root / "process.json"

    @property
    def leftovers(self) -> Path:
        """Return the file that lists the lab's control groups; written before they are made."""
        return self.root / "leftovers.json"

    @property
    def audit_log(self) -> Path:
        """Return the API server's audit log."""
        return self.logs / "audit.log"

    @property
    def s3_credentials(self) -> Path:
        """Return the file with the S3 server's keys, one NAME=value a line."""
        return self.root / "s3.env"

    def kubeconfig(self, user: str = "admin") -> Path:
        """Return the kubeconfig of one of the lab's users."""
        return self.root / ("kubeconfig" if user == "admin" else f"{user}.kubeconfig")


@dataclass(frozen=True)
class Ports:
    """Ports of the control plane; fixed in a network namespace, whatever is free on a shared loopback."""

    apiserver: int = 6443
    etcd: int = 2379
    etcd_peer: int = 2380
    controller_manager: int = 10257
    scheduler: int = 10259
    kwok: int = 10247


@dataclass(frozen=True)
class Settings:
    """Everything a lab's shape depends on."""

    mode: Mode = "full"
    network: Network = "netns"
    gpus: int = 8
    kwok_nodes: int = 0
    s3: bool = False
    disk: bool = True
    ports: Ports = field(default_factory=Ports)

    @property
    def node(self) -> bool:
        """Say whether a real kubelet runs."""
        return self.mode == "full"

    @property
    def kwok(self) -> bool:
        """Say whether KWOK runs: always where no real node could run a pod."""
        return self.kwok_nodes > 0 or not self.node

    @property
    def has_pod_addresses(self) -> bool:
        """Say whether addresses of pods can be reached from inside."""
        return self.network != "loopback"

    def dump(self) -> str:
        """Return the settings as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Self:
        """Return the settings that `dump` wrote."""
        data = json.loads(text)
        return cls(**{**data, "ports": Ports(**data["ports"])})
