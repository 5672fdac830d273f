"""What the operator makes of an example: the snapshot its sidecars mount, and the environment of their pods."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from bench.record import ROOT
from llm_operator.api.config import load_config
from llm_operator.core import kinds
from llm_operator.core.kinds import Kind
from llm_operator.core.observed import Obj, Observed
from llm_operator.core.plan import Plan, plan
from llm_operator.core.references import MODEL_FIELD, Resolution

_VALUES = ROOT / "charts/llm-operator/values.yaml"
_DIGEST = "sha256:" + "0" * 64
_UID = "00000000-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Rendered:
    """The files of a mounted snapshot, and what the pod tells its sidecar."""

    files: Mapping[str, str]
    env: Mapping[str, str]


def render(example: Path) -> Rendered:
    """Plan the LLMDeployment of an example as the operator does once its model is resolved."""
    return render_objects(list(yaml.safe_load_all(example.read_text())))


def render_objects(documents: list[Obj]) -> Rendered:
    """Do the same for objects: an LLMDeployment, and an LLMPrompt where there is one."""
    made = plan(Observed(_resolved(_only(documents, kinds.LLM_DEPLOYMENT)), prompt=_prompt(documents)), _config(), datetime.now(UTC))
    sidecar = next(
        each for each in _applied(made, kinds.DEPLOYMENT)["spec"]["template"]["spec"]["initContainers"] if each["name"] == "sidecar"
    )
    return Rendered(
        files=_applied(made, kinds.CONFIG_MAP)["data"],
        env={each["name"]: each["value"] for each in sidecar["env"] if "value" in each},
    )


def mount(files: Mapping[str, str], at: Path) -> None:
    """Write the files of a ConfigMap or Secret as the kubelet does: behind a link that is swapped as a whole."""
    (at / "..1").mkdir(parents=True)
    for name, content in files.items():
        (at / "..1" / name).write_text(content)
    (at / "..data").symlink_to("..1")


def _config() -> Any:
    values = yaml.safe_load(_VALUES.read_text())
    profiles = {key: values[key] for key in ("engineProfiles", "acceleratorProfiles")}
    return load_config(yaml.safe_dump({"images": {"sidecar": "sidecar", "fetcher": "fetcher"}, **profiles}))


def _only(documents: list[Obj], kind: Kind) -> Obj:
    (found,) = (each for each in documents if each["kind"] == kind.kind)
    return _stored(found)


def _prompt(documents: list[Obj]) -> Obj | None:
    return next((_stored(each) for each in documents if each["kind"] == kinds.LLM_PROMPT.kind), None)


def _stored(manifest: Obj) -> Obj:
    server = {"namespace": "bench", "uid": _UID, "generation": 1, "resourceVersion": "1"}
    return {**manifest, "metadata": {**manifest["metadata"], **server}}


def _resolved(deployment: Obj) -> Obj:
    model = Resolution(MODEL_FIELD, deployment["spec"]["model"]["source"], _DIGEST)
    return {**deployment, "status": {"resolutions": [model.entry()]}}


def _applied(made: Plan, kind: Kind) -> Obj:
    found = [each.object for each in made.applies if each.kind == kind]
    assert len(found) == 1, made.status
    return found[0]
