"""Everything that is rendered, as committed YAML: a change of it is a change somebody has to want.

``UPDATE_GOLDEN=1`` rewrites the files.
"""

import os
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from llm_operator.core.kinds import CUSTOM
from llm_operator.core.observed import Obj
from tests.data.yaml_files import documents
from tests.unit.core.builders import make_config, make_deployment, make_prompt, make_spec
from tests.unit.core.sim import Sim

GOLDEN = Path(__file__).parent.parent / "golden"

FULL_SPEC = make_spec(
    model={"source": "s3://models/llama/8b/", "credentials": {"secretName": "hub"}, "servedName": "llama"},
    engine={
        "tensorParallelSize": 2,
        "gpuMemoryUtilization": 0.9,
        "maxModelLen": 8192,
        "quantization": "awq",
        "args": {"max-num-seqs": "64", "enable-prefix-caching": "true"},
        "resources": {"cpu": "8000m", "memory": "65536Mi", "shm": "8Gi"},
        "startup": {"timeout": "1800s"},
    },
    accelerator={"profile": "l4", "count": 2},
    replicas=3,
    prompt={"ref": {"name": "support"}, "updatePolicy": "Rollout"},
    limits={"maxBodyBytes": "1Mi", "maxConcurrency": 8, "queue": 4, "queueTimeout": "500ms", "totalTimeout": "20m"},
    drain={"minimum": "5s", "maxStream": "15m"},
)
FULL_CONFIG = make_config(
    imagePullSecrets=["registry"],
    engineProfiles={
        "vllm": {
            "image": "example.org/vllm:0.32.0",
            "version": "0.32.0",
            "command": ["python3", "-m", "vllm.entrypoints.openai.api_server"],
            "args": ["--disable-log-stats"],
            "env": {"NCCL_DEBUG": "WARN", "VLLM_EMPTY": ""},
            "runAsUser": 2000,
            "runAsGroup": 3000,
            "imagePullPolicy": "Always",
            "imagePullSecrets": ["engines", "registry"],
        }
    },
    acceleratorProfiles={"l4": {"resource": "nvidia.com/gpu", "nodeSelector": {"gpu": "l4"}, "runtimeClassName": "nvidia"}},
    monitoringNamespaces=["monitoring"],
)


class _Dumper(yaml.SafeDumper):
    """Writes every value where it is, so that a reader need not look for anchors."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def dump(objects: list[Obj]) -> str:
    return yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, width=140)


def cases() -> dict[str, Sim]:
    return {
        "s3": Sim(),
        "pvc": Sim(deployment=make_deployment(spec=make_spec(model={"source": "pvc://weights/llama/8b"}, accelerator={"profile": "cpu"}))),
        "replace": Sim(deployment=make_deployment(spec=make_spec(rollout={"capacity": {"mode": "Replace"}}))),
        "full": Sim(
            config=FULL_CONFIG,
            deployment=make_deployment(spec=FULL_SPEC),
            prompt=make_prompt(template="Q: {{ prompt }}\nA:", sampling={"temperature": 0.20, "maxTokens": 100}),
        ),
    }


def rendered(sim: Sim) -> list[Obj]:
    """Everything applied from nothing to ready, the resolver Job first."""
    objects: dict[tuple[str, str], Obj] = {}
    for _ in range(8):
        made = sim.look()
        sim.tick()
        for each in made.applies:
            objects.setdefault((each.kind.kind, each.name), each.object)
    return list(objects.values())


@cache
def text_of(case: str) -> str:
    return dump(rendered(cases()[case]))


@pytest.mark.parametrize("case", ["s3", "pvc", "replace", "full"])
def test_what_is_rendered_is_what_was_committed(case: str) -> None:
    text = text_of(case)
    path = GOLDEN / f"{case}.yaml"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.yaml")), ids=lambda path: str(path.stem))
def test_every_committed_manifest_is_valid_kubernetes(path: Path) -> None:
    committed = documents(path)
    assert committed
    for document in committed:
        assert document["kind"] not in {kind.kind for kind in CUSTOM}
        for version in ("1.30", "1.37"):  # the oldest it is for, and the one that the tests run
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.covers  # as the test above: which of the two renders first depends on the worker they are given to
def test_rendering_the_same_again_gives_the_same_bytes() -> None:
    assert dump(rendered(cases()["full"])) == text_of("full")
