"""Asks vLLM's own command line parser whether it takes argument lists, all in one process."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.images import vllm_site

_MAIN = Path(__file__).with_name("vllm_parser_main.py")
_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Verdict:
    """What `vllm serve` says to one argument list: nothing when it takes it, else why not."""

    arguments: tuple[str, ...]
    refusal: str | None

    @property
    def accepted(self) -> bool:
        """Whether an engine would start with these arguments."""
        return self.refusal is None


@dataclass(frozen=True)
class Answers:
    """Every option `vllm serve` has, and a verdict for each argument list in their order."""

    options: tuple[str, ...]
    verdicts: tuple[Verdict, ...]


def ask(argument_lists: Sequence[Sequence[str]]) -> Answers:
    """Ask about all argument lists at once; a model they name must be there, as vLLM looks for it."""
    done = subprocess.run(
        # -P: the script's own folder has a module called vllm too.
        vllm_site.command("-P", str(_MAIN)),
        input="".join(json.dumps(list(arguments)) + "\n" for arguments in argument_lists),
        env=vllm_site.environment(),
        text=True,
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    options, refusals = _marked(done.stdout, "options"), _marked(done.stdout, "verdict")
    if done.returncode or len(refusals) != len(argument_lists):
        raise RuntimeError(
            f"vLLM's parser exited {done.returncode} after {len(refusals)} of {len(argument_lists)} answers:\n{done.stderr[-4000:]}"
        )
    pairs = zip(argument_lists, refusals, strict=True)
    return Answers(tuple(options[0]), tuple(Verdict(tuple(arguments), refusal) for arguments, refusal in pairs))


def _marked(output: str, mark: str) -> list[Any]:
    return [json.loads(line.removeprefix(f"{mark} ")) for line in output.splitlines() if line.startswith(f"{mark} ")]
