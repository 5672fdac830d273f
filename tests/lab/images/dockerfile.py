"""Reads from a Dockerfile what its image holds and how it starts, so that the lab's image and the real one cannot differ.

Read is the form the Dockerfiles of this project have: an early stage fills one folder with locked packages (`uv export --extra NAME`)
and sources from the build context, the last stage copies that folder and runs nothing. Anything else is refused, not guessed.
"""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tests.lab.images.oci import ImageConfig

_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::?-(?P<default>[^}]*))?\}|(?P<bare>\w+))")
_WITHOUT_EFFECT = {"EXPOSE", "STOPSIGNAL"}  # a pod says these itself
_EXTRA = re.compile(r"\buv export\b[^&;|]*--extra[ =](?P<name>[\w-]+)")


class DockerfileError(ValueError):
    """A Dockerfile the lab cannot mirror."""


@dataclass(frozen=True)
class Recipe:
    """What a Dockerfile makes."""

    config: ImageConfig
    app_dir: str
    """The folder with the application."""
    sources: tuple[tuple[str, str], ...]
    """Paths in the build context, and where below ``app_dir`` each lies."""
    extra: str | None
    """The extra of the project whose locked packages lie in ``app_dir`` too."""


@dataclass
class _Stage:
    arguments: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    workdir: str = "/"
    from_context: list[tuple[str, str]] = field(default_factory=list)
    from_stages: list[tuple[str, str, str]] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)

    def apply(self, keyword: str, rest: str) -> None:
        value = _expand(rest, self.arguments | self.env)
        match keyword:
            case "ARG":
                name, _, default = rest.partition("=")
                self.arguments[name] = default.strip("\"'")
            case "ENV":
                self.env |= _pairs(value)
            case "LABEL":
                self.labels |= _pairs(value)
            case "USER":
                self.user = value
            case "WORKDIR":
                self.workdir = str(PurePosixPath(self.workdir) / value)
            case "ENTRYPOINT":
                self.entrypoint, self.cmd = _exec_form(keyword, rest), ()
            case "CMD":
                self.cmd = _exec_form(keyword, rest)
            case "COPY":
                self._copy(value)
            case "RUN":
                self.ran.append(value)
            case _:
                raise DockerfileError(f"{keyword} is not read: {rest}")

    def _copy(self, value: str) -> None:
        words = shlex.split(value)
        origins = [word.removeprefix("--from=") for word in words if word.startswith("--from=")]
        *sources, target = [word for word in words if not word.startswith("--")]
        absolute = str(PurePosixPath(self.workdir) / target)
        for source in sources:
            into_folder = target.endswith("/") or target in {".", ".."}
            place = f"{absolute}/{PurePosixPath(source).name}" if into_folder else absolute
            if origins:
                self.from_stages.append((origins[0], source, place))
            else:
                self.from_context.append((source, place))


def read(path: Path) -> Recipe:
    """Parse the Dockerfile at ``path``."""
    return parse(path.read_text())


def parse(text: str) -> Recipe:
    """Return what a Dockerfile makes, or refuse it with the instruction that cannot be mirrored."""
    arguments: dict[str, str] = {}
    stages: dict[str, _Stage] = {}
    last: _Stage | None = None
    for keyword, rest in _instructions(text):
        if keyword == "FROM":
            words = [_expand(word, arguments) for word in rest.split() if not word.startswith("--")]
            if words[0] in stages:
                raise DockerfileError(f"a stage on top of another is not read: FROM {rest}")
            last = stages[words[2] if len(words) > 2 else f"stage {len(stages)}"] = _Stage()
        elif last is not None:
            last.apply(keyword, rest)
        elif keyword == "ARG":
            name, _, default = rest.partition("=")
            arguments[name] = default.strip("\"'")
        else:
            raise DockerfileError(f"{keyword} in front of the first FROM")
    if last is None:
        raise DockerfileError("there is no FROM")
    return _recipe(last, stages)


def _recipe(last: _Stage, stages: dict[str, _Stage]) -> Recipe:
    if last.ran or last.from_context:
        raise DockerfileError(f"the last stage must only copy from an earlier one, not {[*last.ran, *last.from_context][0]!r}")
    if len(last.from_stages) != 1:
        raise DockerfileError(f"the last stage must copy one folder from an earlier stage, not {len(last.from_stages)}")
    ((origin, source, app_dir),) = last.from_stages
    if origin not in stages or source != app_dir:
        raise DockerfileError(
            f"the last stage must copy a folder of an earlier stage to the same place, not {source} of {origin} to {app_dir}"
        )
    early = stages[origin]
    extras = [match["name"] for command in early.ran for match in _EXTRA.finditer(command)]
    if len(extras) > 1:
        raise DockerfileError(f"one extra at most is read, not {', '.join(extras)}")
    below = f"{app_dir}/"
    sources = tuple((path, place.removeprefix(below)) for path, place in early.from_context if place.startswith(below))
    config = ImageConfig(last.entrypoint, last.cmd, last.user, last.env, last.workdir, last.labels)
    return Recipe(config, app_dir, sources, extras[0] if extras else None)


def _instructions(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\[ \t]*\n", " ", "\n".join(lines))
    found: list[tuple[str, str]] = []
    for line in joined.splitlines():
        keyword, _, rest = line.strip().partition(" ")
        if keyword.upper() in {"RUN", "COPY"} and "<<" in rest:
            raise DockerfileError(f"here-documents are not read: {line.strip()}")
        if keyword and keyword.upper() not in _WITHOUT_EFFECT:
            found.append((keyword.upper(), rest.strip()))
    return found


def _exec_form(keyword: str, rest: str) -> tuple[str, ...]:
    try:
        words = json.loads(rest)
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise DockerfileError(f"{keyword} must be a JSON list: the images have no shell for {rest}")
    return tuple(words)


def _pairs(value: str) -> dict[str, str]:
    words = shlex.split(value)
    if not all("=" in word for word in words):
        raise DockerfileError(f"only NAME=value pairs are read: {value}")
    return dict(word.split("=", 1) for word in words)


def _expand(value: str, variables: dict[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        return variables.get(match["braced"] or match["bare"], match["default"] or "")

    return _VARIABLE.sub(replace, value)
