"""The API server, spoken to through kubectl: whatever it can log in with works here, and nothing is slow to import."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from llm_operator.cli.exits import CliError, NoAnswerError

RESOURCE = "llmdeployments.llmops.dev"
PROMPTS = "llmprompts.llmops.dev"
FIELD_MANAGER = "kubectl-llm"
_TIMEOUT_S = 60.0
_LEAST_S = 1.0
"""What one call has at least, when the time for all of them is over: the last one asks why."""
_FINAL = ("(Unauthorized)", "(BadRequest)", "(Invalid)", "is invalid", "unknown flag")
"""Words of failures that come again however often one asks."""


class NotFoundError(CliError):
    """The object is not there."""


class ForbiddenError(CliError):
    """It may not be read, so that nobody knows whether it is there."""


class ConflictError(CliError):
    """The object was changed since it was read."""


@dataclass(frozen=True)
class Kube:
    """Runs kubectl with the flags that say which cluster, user and namespace are meant."""

    flags: Sequence[str] = ()
    left_s: Callable[[], float] = lambda: _TIMEOUT_S
    """How long a call may take, where that is less than usual."""

    def within(self, left_s: Callable[[], float]) -> Self:
        """Return the same, with no call that takes longer than there is time."""
        return replace(self, left_s=left_s)

    def deployment(self, name: str) -> dict[str, Any]:
        """Return an LLMDeployment."""
        return self._json("get", RESOURCE, name, "--output=json")

    def prompt(self, name: str) -> dict[str, Any]:
        """Return an LLMPrompt."""
        return self._json("get", PROMPTS, name, "--output=json")

    def annotate(self, name: str, annotations: Mapping[str, str], resource_version: str) -> dict[str, Any]:
        """Set annotations on an LLMDeployment that is still the one that was read."""
        body = {"metadata": {"annotations": dict(annotations), "resourceVersion": resource_version}}
        arguments = ("--type=merge", f"--patch={json.dumps(body)}", f"--field-manager={FIELD_MANAGER}", "--output=json")
        return self._json("patch", RESOURCE, name, *arguments)

    def config_map(self, name: str, namespace: str = "") -> dict[str, Any]:
        """Return a ConfigMap, of the current namespace when none is named."""
        return self._json("get", "configmaps", name, "--output=json", *([f"--namespace={namespace}"] if namespace else []))

    def _json(self, *arguments: str) -> dict[str, Any]:
        program = shutil.which(os.environ.get("KUBECTL", "kubectl"))
        if program is None:
            raise CliError("kubectl is not on the PATH; install it, or name it in the environment variable KUBECTL")
        timeout_s = min(max(self.left_s(), _LEAST_S), _TIMEOUT_S)
        try:
            # A namespace given last wins over one in the flags.
            done = subprocess.run(  # noqa: S603  # a program, no shell
                [program, *self.flags, *arguments],
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout_s,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            raise NoAnswerError(f"kubectl did not answer within {timeout_s:.3g} s") from error
        if done.returncode:
            raise _failure(done.stderr.strip() or f"kubectl ended with exit code {done.returncode}")
        try:
            return dict(json.loads(done.stdout))
        except ValueError as error:
            raise CliError(f"kubectl's answer is not JSON: {done.stdout[:200]}") from error


def _failure(words: str) -> CliError:
    if "(NotFound)" in words:
        return NotFoundError(words)
    if "(Forbidden)" in words:
        return ForbiddenError(words)
    if "(Conflict)" in words:
        return ConflictError(words)
    return CliError(words) if any(each in words for each in _FINAL) else NoAnswerError(words)
