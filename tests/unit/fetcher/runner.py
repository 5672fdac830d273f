"""The fetcher run as its container runs it: arguments, environment variables, a termination message, and a process where that shows."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_fetcher import cli

PACKAGES = Path(__file__).resolve().parents[3] / "images/fetcher"
_LONGEST_S = 60


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    code: int
    output: str
    message: dict[str, Any]

    @property
    def reason(self) -> str:
        """The machine reason of an error."""
        return str(self.message["error"]["reason"])

    @property
    def last_line(self) -> str:
        """What the kubelet shows of a container that failed."""
        return self.output.strip().splitlines()[-1]


class Fetcher:
    """Runs the fetcher with an environment that holds nothing but what is given."""

    def __init__(self, env: Mapping[str, str], termination_log: Path) -> None:
        self.env = dict(env)
        self._log = termination_log

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Start a process that the test watches itself."""
        self._log.unlink(missing_ok=True)
        given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGES), **self._given(env)}
        command = [sys.executable, "-m", "llm_fetcher", *arguments]
        return subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self, process: subprocess.Popen[str]) -> Ended:
        """Wait for the end of a process."""
        output, _ = process.communicate(timeout=_LONGEST_S)
        return Ended(process.returncode, output, self._message())

    def run(self, *arguments: str, **env: str) -> Ended:
        """Run to the end without a process of its own: starting one takes longer than most runs."""
        self._log.unlink(missing_ok=True)
        output = io.StringIO()
        said, log = logging.StreamHandler(output), logging.getLogger("llm_fetcher")
        log.addHandler(said)
        log.setLevel(logging.INFO)
        try:
            code = cli.run(arguments, self._given(env))
        finally:
            log.removeHandler(said)
        return Ended(code, output.getvalue(), self._message())

    def _given(self, env: Mapping[str, str]) -> dict[str, str]:
        return {"TERMINATION_LOG": str(self._log), **self.env, **env}

    def _message(self) -> dict[str, Any]:
        return json.loads(self._log.read_text()) if self._log.exists() else {}

    def resolve(self, source: str, *arguments: str, **env: str) -> Ended:
        """Resolve a source."""
        return self.run("resolve", "--source", source, "--give-up-after", "1", *arguments, **env)

    def digest_of(self, source: str) -> str:
        """Resolve a source that is known to be good."""
        ended = self.resolve(source)
        assert ended.code == 0, ended.output
        return str(ended.message["digest"])

    def fetch(self, source: str, digest: str, target: Path, *arguments: str, **env: str) -> Ended:
        """Fetch a source into a directory."""
        return self.run("fetch", "--source", source, "--digest", digest, "--target", str(target), "--give-up-after", "1", *arguments, **env)


def write_model(directory: Path, *, weights: bytes = b"weights", **more: bytes) -> Path:
    """Write the files of a small model; a keyword's double underscore is a slash, a single one a dot."""
    files = {"config.json": b"{}", "model.safetensors": weights}
    files |= {name.replace("__", "/").replace("_", "."): body for name, body in more.items()}
    for name, body in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return directory
