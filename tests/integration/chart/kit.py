"""The chart as its tests use it: rendered by helm, and installed into the API server the lab has put into the environment."""

import json
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.lab.served import served

Object = dict[str, Any]

CHART = Path(__file__).resolve().parents[3] / "charts/llm-operator"
KUBERNETES = "1.37.2"
REGISTRY = "registry.example.com/llm"


@dataclass(frozen=True)
class Result:
    """What a command answered."""

    code: int
    out: str
    err: str


def run(argv: Iterable[str], stdin: str | None = None) -> Result:
    """Run a command to its end, whatever it answers."""
    done = subprocess.run(list(argv), input=stdin, capture_output=True, text=True, check=False, timeout=120)
    return Result(done.returncode, done.stdout, done.stderr)


def kubectl(*args: str, stdin: str | None = None) -> str:
    """Run kubectl as the administrator and return what it printed."""
    done = run(["kubectl", *args], stdin)
    assert done.code == 0, f"kubectl {' '.join(args)}: {done.err.strip()}"
    return done.out


def establish(*crds: str) -> None:
    """Wait until the API server serves kinds."""
    served(kubectl, *crds)


def with_registry(values: Object) -> Object:
    """Return values with the one that has no default, where they do not set it themselves."""
    return {**values, "image": {"registry": REGISTRY, **values.get("image", {})}}


def helm(*args: str, values: Object | None = None) -> Result:
    """Run helm with values of a file."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values or {}, file)
        file.flush()
        return run(["helm", *args, "--values", file.name])


def template(values: Object, *, release: str = "llm-operator", namespace: str = "llm-system", kubernetes: str = KUBERNETES) -> Result:
    """Render the chart without a cluster."""
    return helm("template", release, str(CHART), "--namespace", namespace, "--kube-version", kubernetes, values=values)


def render(values: Object, **names: str) -> list[Object]:
    """Return the objects the chart renders to, its CRDs aside."""
    done = template(with_registry(values), **names)
    assert done.code == 0, done.err
    return [obj for obj in yaml.safe_load_all(done.out) if obj]


def refusal(values: Object, **names: str) -> str:
    """Return what helm says about values it does not take."""
    done = template(values, **names)
    assert done.code != 0, "helm took these values"
    return done.err


def of_kind(objects: Iterable[Object], kind: str) -> list[Object]:
    """Return the objects of one kind."""
    return [obj for obj in objects if obj["kind"] == kind]


def one(objects: Iterable[Object], kind: str, name: str) -> Object:
    """Return the one object of that kind and name."""
    (found,) = [obj for obj in of_kind(objects, kind) if obj["metadata"]["name"] == name]
    return found


def install(release: str, namespace: str, values: Object) -> str:
    """Install the chart, or change what is installed, and return what helm says to the user."""
    done = helm("upgrade", "--install", release, str(CHART), "--namespace", namespace, "--output", "json", values=with_registry(values))
    assert done.code == 0, done.err
    return str(json.loads(done.out)["info"]["notes"])
