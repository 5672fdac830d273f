"""Manifests that must be refused, each with the message it must be refused with and the one change that makes it right.

Used without a server, against a real API server and against a running operator: one list, so that none of them forgets a case.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.data.yaml_files import documents

_FOLDER = Path(__file__).parent / "negative_cases"
_BASE: dict[str, dict[str, Any]] = documents(_FOLDER / "base.yaml")[0]


@dataclass(frozen=True)
class Case:
    """One manifest that must be refused.

    Stage `schema` means the API server refuses it, with strict field validation as kubectl asks for it. Stage `operator` means it is
    stored, and the operator says why it cannot work, with ``reason``. For that the operator has ``config``, and the namespace
    ``prompts``, specs by name.
    """

    name: str
    kind: Literal["LLMDeployment", "LLMPrompt"]
    stage: Literal["schema", "operator"]
    manifest: dict[str, Any]
    corrected: dict[str, Any]
    expect: tuple[str, ...]
    reason: str
    config: dict[str, Any]
    prompts: dict[str, dict[str, Any]]


def merged(target: Any, patch: Any) -> Any:
    """Return a JSON merge patch (RFC 7386) applied: null removes, maps merge, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _cases(path: Path) -> list[Case]:
    stage: Literal["schema", "operator"] = "operator" if path.stem == "operator" else "schema"
    cases = []
    for each in documents(path)[0]:
        kind = each.get("kind", "LLMDeployment")
        manifest = merged(_BASE[kind], each["change"])
        cases.append(
            Case(
                name=each["name"],
                kind=kind,
                stage=stage,
                manifest=manifest,
                corrected=merged(manifest, each["correct"]),
                expect=tuple(each["expect"]),
                reason=each.get("reason", ""),
                config=merged(_BASE["config"], each.get("config", {})),
                prompts=each.get("prompts", {}),
            )
        )
    return cases


CASES: tuple[Case, ...] = tuple(case for path in sorted(_FOLDER.glob("*.yaml")) if path.stem != "base" for case in _cases(path))
SCHEMA: tuple[Case, ...] = tuple(case for case in CASES if case.stage == "schema")
OPERATOR: tuple[Case, ...] = tuple(case for case in CASES if case.stage == "operator")
