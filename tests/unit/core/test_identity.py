import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.core.canonical import identity
from llm_operator.core.identity import engine_inputs, make_revision
from llm_operator.core.prompts import bundle_limits, bundle_prompt, bundle_sampling
from llm_sidecar.bundle import Bundle
from tests.unit.core.builders import MODEL_DIGEST, make_config, make_spec
from tests.unit.core.sim import Sim

VECTORS = json.loads((Path(__file__).parent / "data" / "identity.json").read_text())
"""Committed: whoever changes one of them makes every engine or revision that is deployed a new one."""


def inputs(**spec: Any) -> dict[str, Any]:
    config = make_config()
    read = LLMDeploymentSpec.model_validate(make_spec(**spec))
    return engine_inputs("chat", read, config.engine_profiles["vllm"], config.accelerator_profiles["l4"], MODEL_DIGEST)


def revision(**spec: Any) -> str:
    read = LLMDeploymentSpec.model_validate(make_spec(**spec))
    prompt = read.prompt.inline if read.prompt else None
    limits = bundle_limits(read.limits)
    if prompt is None:
        return make_revision("engine1", Bundle(limits=limits)).id
    return make_revision("engine1", Bundle(prompt=bundle_prompt(prompt), sampling=bundle_sampling(prompt.sampling), limits=limits)).id


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["name"]))
def test_a_golden_vector_has_the_hashes_it_always_had(vector: dict[str, Any]) -> None:
    spec = vector["spec"]
    assert identity(inputs(**spec)) == vector["inputs"]
    assert revision(**spec) == vector["revision"]


@pytest.mark.parametrize(
    "written",
    [
        {"replicas": 5},
        {"engine": {"profile": "vllm", "resources": {"cpu": "4", "memory": "16Gi", "shm": "1Gi"}, "args": {}}},
        {"engine": {"resources": {"cpu": "4000m", "memory": "16384Mi", "shm": "1024Mi"}}},
        {"engine": {"tensorParallelSize": 1}},
        {"engine": {"startup": {"timeout": "1h"}}},
        {"drain": {"minimum": "10s", "maxStream": "600s"}},
        {"model": {"source": "s3://models/tiny/"}},
        {"model": {"source": "s3://models/tiny", "servedName": "chat"}},
        {"accelerator": {"profile": "l4", "count": 1}},
        {"limits": {"queue": 1}},
        {"prompt": {"inline": {"system": "x"}}},
    ],
)
def test_what_is_default_or_only_spelt_differently_or_no_part_of_the_pod_changes_no_engine(written: dict[str, Any]) -> None:
    assert inputs(**written) == inputs()


def test_an_amount_whose_canonical_spelling_no_user_could_write_is_still_rendered() -> None:
    sim = Sim()
    sim.deployment["spec"]["engine"] = {"resources": {"cpu": "1.000000001", "memory": "63.999999999Ti"}}
    sim.settle()
    assert sim.deployment["status"]["phase"] == "Ready"


@pytest.mark.parametrize(
    "written",
    [
        {"engine": {"resources": {"cpu": "5"}}},
        {"engine": {"gpuMemoryUtilization": 0.5}},
        {"engine": {"args": {"max-num-seqs": "1"}}},
        {"engine": {"maxModelLen": 1024}},
        {"drain": {"minimum": "11s"}},
        {"model": {"source": "s3://models/other"}},
        {"model": {"source": "s3://models/tiny", "servedName": "other"}},
        {"model": {"source": "s3://models/tiny", "credentials": {"secretName": "hub"}}},
        {"accelerator": {"profile": "l4", "count": 2}},
    ],
)
def test_what_the_pod_depends_on_changes_the_engine(written: dict[str, Any]) -> None:
    assert inputs(**written) != inputs()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"temperature": 0.70}, {"temperature": 0.7}),
        ({"temperature": 1}, {"temperature": 1.0}),
        ({"stop": []}, {}),
    ],
)
def test_two_spellings_of_a_sampling_value_are_one_revision(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = (revision(prompt={"inline": {"system": "x", "sampling": sampling}}) for sampling in (one, other))
    assert first == second


@given(st.integers(0, 64), st.integers(0, 64))
def test_bundles_are_the_same_revision_exactly_if_they_say_the_same(one: int, other: int) -> None:
    assert (revision(limits={"queue": one}) == revision(limits={"queue": other})) == (one == other)


def test_the_engine_id_does_not_depend_on_who_owns_it() -> None:
    engines = []
    for uid in ("00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"):
        sim = Sim()
        sim.deployment["metadata"]["uid"] = uid
        sim.settle()
        engines.append(sim.engines())
    assert engines[0] == engines[1]
