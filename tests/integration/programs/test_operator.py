"""The operator and the command line as processes: how they end, and what they load."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

HERE = Path(__file__).resolve().parents[3]
DEFAULT = "examples/pipelines/default.yaml"


def test_a_configuration_that_cannot_be_used_ends_the_process_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("images: {}\n")
    roots = os.pathsep.join([str(HERE / "operator"), str(HERE / "images/sidecar")])
    done = subprocess.run(
        [sys.executable, "-m", "llm_operator"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": roots, "LLM_OPERATOR_CONFIG": str(path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert str(path) in done.stdout
    assert "engineProfiles" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(("flags", "code"), [(("--request", "-"), 7), ((), 1)])
def test_the_program_ends_with_the_code_of_what_happened(flags: tuple[str, ...], code: int) -> None:
    argv = [sys.executable, "-m", "llm_operator.cli", "pipeline", "run", "-f", DEFAULT, *flags]
    done = subprocess.run(argv, input="hello", capture_output=True, text=True, check=False, cwd=HERE)
    assert done.returncode == code, done.stderr


def test_the_extra_of_the_command_line_has_all_that_these_commands_import() -> None:
    modules = "llm_operator.cli.prompt_report, llm_operator.cli.pipeline_report, llm_operator.cli.show"
    code = f"import json, sys, {modules}; print(json.dumps(sorted(name.partition('.')[0] for name in sys.modules)))"
    path = {"PYTHONPATH": "operator:images/sidecar"}
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=path, cwd=HERE).stdout)
    packages = metadata.packages_distributions()
    imported = {name.lower() for module in loaded for name in packages.get(module, ())} - {"llm-operator"}
    asked = [Requirement(each) for each in metadata.requires("llm-operator") or ()]
    wanted = [each.name.lower() for each in asked if each.marker is not None and each.marker.evaluate({"extra": "cli"})]
    known: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in known:
            known.add(name)
            parts = [Requirement(each) for each in metadata.requires(name) or ()]
            wanted += [each.name.lower() for each in parts if each.marker is None or each.marker.evaluate({"extra": ""})]
    assert {name.replace("_", "-") for name in imported} - {name.replace("_", "-") for name in known} == set()
