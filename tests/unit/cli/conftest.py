"""A kubectl in memory, and the commands over it."""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import click.testing
import pytest

from llm_operator.cli import command as command_module
from llm_operator.cli import main, waiting
from llm_operator.cli.exits import NoAnswerError
from llm_operator.cli.kube import ConflictError, ForbiddenError, NotFoundError
from llm_operator.core import names

Object = dict[str, Any]

OLD, NEW = "aaaaaaaaaa", "bbbbbbbbbb"


def ready(revision: str, **status: Any) -> Object:
    """Return the status of a deployment that serves a revision."""
    conditions = [{"type": "Ready", "status": "True", "reason": "Serving", "message": f"revision {revision} serves from 1 pod"}]
    base = {"phase": "Ready", "reason": "Ready", "message": "all is well", "latestRevision": revision, "observedGeneration": 1}
    return {**base, "stable": {"revision": revision, "engine": "e", "ready": 1, "replicas": 1}, "conditions": conditions, **status}


@dataclass
class FakeKube:
    """One LLMDeployment; ``then`` are changes an operator makes, one before each read. ``conflicts`` writes come too late."""

    live: Object
    then: list[Callable[[Object], None]] = field(default_factory=list)
    conflicts: int = 0
    maps: dict[str, Object] = field(default_factory=dict)
    prompts: dict[str, Object] = field(default_factory=dict)
    forbidden: bool = False
    """Whether prompts may not be read."""
    left_s: Callable[[], float] = lambda: 60.0
    flags: tuple[str, ...] = ()
    written: list[Object] = field(default_factory=list)

    def within(self, left_s: Callable[[], float]) -> "FakeKube":
        self.left_s = left_s
        return self

    def deployment(self, name: str) -> Object:
        if name != self.live["metadata"]["name"]:
            raise NotFoundError(f'Error from server (NotFound): llmdeployments.llmops.dev "{name}" not found')
        if self.then:
            self.then.pop(0)(self.live)
        return copy.deepcopy(self.live)

    def annotate(self, name: str, annotations: Mapping[str, str], resource_version: str) -> Object:
        assert name == self.live["metadata"]["name"]
        if self.conflicts or resource_version != self.live["metadata"]["resourceVersion"]:
            self.conflicts -= 1
            raise ConflictError("Error from server (Conflict): the object has been modified")
        self.live["metadata"]["annotations"] = dict(annotations)
        self.written.append(json.loads(annotations[names.ANNOTATION_ACTION]))
        return copy.deepcopy(self.live)

    def prompt(self, name: str) -> Object:
        if self.forbidden:
            raise ForbiddenError(f'Error from server (Forbidden): llmprompts.llmops.dev "{name}" is forbidden')
        if name not in self.prompts:
            raise NotFoundError(f'Error from server (NotFound): llmprompts.llmops.dev "{name}" not found')
        return self.prompts[name]

    def config_map(self, name: str, namespace: str = "") -> Object:
        if namespace not in self.maps:
            raise NotFoundError(f'Error from server (NotFound): configmaps "{name}" not found')
        return self.maps[namespace]


@dataclass
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Object:
        return dict(json.loads(self.out))


@pytest.fixture
def kube() -> FakeKube:
    metadata = {"name": "chat", "namespace": "team", "generation": 1, "resourceVersion": "1"}
    return FakeKube({"metadata": metadata, "status": ready(OLD)})


@pytest.fixture
def run(kube: FakeKube, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a runner of commands; time passes only when a command waits."""
    now = [0.0]

    def make(flags: tuple[str, ...]) -> FakeKube:
        kube.flags = flags
        return kube

    monkeypatch.setattr(command_module, "Kube", make)
    monkeypatch.setattr(waiting, "pause", lambda seconds: now.append(now[-1] + seconds))
    monkeypatch.setattr(waiting, "_clock", lambda: now[-1])

    def command(*arguments: str) -> Result:
        done = click.testing.CliRunner().invoke(main.cli, arguments)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Result(done.exit_code, done.stdout, done.stderr)

    return command


def answers(outcome: str, result: str = "", message: str = "words") -> Callable[[Object], None]:
    """Return what an operator does that answers the action in the annotation."""

    def change(live: Object) -> None:
        asked = json.loads(live["metadata"]["annotations"][names.ANNOTATION_ACTION])
        entry = {**asked, "outcome": outcome, "message": message, "at": "2026-11-22T12:00:00Z", **({"result": result} if result else {})}
        actions = [each for each in live["status"].get("actions", []) if each["id"] != asked["id"]]
        live["status"]["actions"] = [*actions, entry]
        if result:
            live["status"]["latestRevision"] = result

    return change


def becomes(**status: Any) -> Callable[[Object], None]:
    """Return what an operator does that writes a status."""
    return lambda live: live["status"].update(status)


def nothing(_live: Object) -> None:
    """Let a read see nothing new."""


def away(_live: Object) -> None:
    """An API server that nobody reaches."""
    raise NoAnswerError("Unable to connect to the server: connection refused")
