"""Reads from a Dockerfile how its image starts, so that the lab's image and the real one cannot differ."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tests.lab.images.oci import ImageConfig

_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::?-(?P<default>[^}]*))?\}|(?P<bare>\w+))")


class DockerfileError(ValueError):
    """A Dockerfile the lab cannot mirror."""


@dataclass(frozen=True)
class FinalStage:
    """What the last stage of a Dockerfile says: how a container starts, and where it copies the application to."""

    config: ImageConfig
    app_dir: str
    extras: tuple[tuple[str, str], ...] = ()
    """Other files copied from the build context: (path in the context, absolute path in the image)."""


def read_final_stage(path: Path) -> FinalStage:
    """Parse the Dockerfile at ``path``."""
    return parse(path.read_text())


def parse(text: str) -> FinalStage:
    """Return what the last stage says; an instruction that would run something in it is refused, as the lab runs nothing."""
    stages: dict[str, _Stage] = {}
    arguments: dict[str, str] = {}
    stage: _Stage | None = None
    for keyword, rest in _instructions(text):
        if keyword == "ARG":
            name, _, default = rest.partition("=")
            (arguments if stage is None else stage.arguments)[name] = default.strip("\"'")
        elif keyword == "FROM":
            words = [_expand(word, arguments) for word in rest.split() if not word.startswith("--")]
            stage = _Stage.on(stages.get(words[0]))
            if len(words) > 2:
                stages[words[2]] = stage
        elif stage is None:
            raise DockerfileError(f"{keyword} in front of the first FROM")
        else:
            stage.apply(keyword, rest)
    if stage is None:
        raise DockerfileError("no FROM")
    return stage.result()


class _Stage:
    def __init__(self) -> None:
        self.arguments: dict[str, str] = {}
        self.env: dict[str, str] = {}
        self.labels: dict[str, str] = {}
        self.entrypoint: tuple[str, ...] = ()
        self.cmd: tuple[str, ...] = ()
        self.user = ""
        self.workdir = "/"
        self.copied: list[str] = []
        self.extras: list[tuple[str, str]] = []
        self.ran: list[str] = []

    @classmethod
    def on(cls, base: "_Stage | None") -> "_Stage":
        """Start a stage that inherits what a container of an earlier stage would start with."""
        stage = cls()
        if base is not None:
            stage.env, stage.labels = dict(base.env), dict(base.labels)
            stage.entrypoint, stage.cmd, stage.user, stage.workdir = base.entrypoint, base.cmd, base.user, base.workdir
            stage.copied, stage.extras, stage.ran = list(base.copied), list(base.extras), list(base.ran)
        return stage

    def apply(self, keyword: str, rest: str) -> None:
        value = _expand(rest, self.arguments | self.env)
        match keyword:
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
                self.ran.append(rest)
            case _:
                pass

    def _copy(self, value: str) -> None:
        words = shlex.split(value)
        flags = [word for word in words if word.startswith("--")]
        *sources, target = [word for word in words if not word.startswith("--")]
        absolute = str(PurePosixPath(self.workdir) / target)
        if any(flag.startswith("--from=") for flag in flags):
            self.copied.append(absolute)
        else:
            self.extras.extend(
                (source, f"{absolute}/{PurePosixPath(source).name}" if target.endswith("/") else absolute) for source in sources
            )

    def result(self) -> FinalStage:
        if self.ran:
            raise DockerfileError(f"the final stage runs {self.ran[0]!r}: run it in an earlier stage and copy the result")
        if len(self.copied) > 1:
            raise DockerfileError(
                f"the final stage copies {', '.join(self.copied)} from other stages: one application directory is expected"
            )
        config = ImageConfig(self.entrypoint, self.cmd, self.user, self.env, self.workdir, self.labels)
        return FinalStage(config, self.copied[0] if self.copied else "", tuple(self.extras))


def _instructions(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\[ \t]*\n", " ", "\n".join(lines))
    found: list[tuple[str, str]] = []
    for line in joined.splitlines():
        keyword, _, rest = line.strip().partition(" ")
        if "<<" in rest and keyword.upper() in {"RUN", "COPY"}:
            raise DockerfileError(f"here-documents are not read: {line.strip()}")
        if keyword:
            found.append((keyword.upper(), rest.strip()))
    return found


def _exec_form(keyword: str, rest: str) -> tuple[str, ...]:
    try:
        words = json.loads(rest)
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise DockerfileError(f"{keyword} must be a JSON list, a shell would be needed for: {rest}")
    return tuple(words)


def _pairs(value: str) -> dict[str, str]:
    words = shlex.split(value)
    if not all("=" in word for word in words):
        raise DockerfileError(f"only NAME=value pairs are read: {value}")
    return dict(word.split("=", 1) for word in words)


def _expand(value: str, variables: dict[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        name = match["braced"] or match["bare"]
        return variables.get(name, match["default"] or "")

    return _VARIABLE.sub(replace, value)
