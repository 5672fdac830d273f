"""The argument lists we render are asked of vLLM's own parser, the one that runs in the engine image."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_operator.api.arguments import Arg, Choice, Flag, Integer, JsonObject, Number, Word
from llm_operator.api.config import EngineProfile
from llm_operator.api.engine_args import ALLOWED, MANAGED, NEVER, OWNED
from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.api.patterns import SERVED_NAME
from llm_operator.core.engine_args import check, check_all, vllm_argv
from tests.lab.images import model, places, vllm_site
from tests.lab.images.vllm_parser import Answers, ask

GENERATED = 200
_VALUES = places.REPO / "tests/lab/values.yaml"


def _value(argument: Arg) -> st.SearchStrategy[str]:
    match argument:
        case Flag():
            return st.sampled_from(["true", "false"])
        case Integer(low, high):
            return st.integers(low, high).map(str)
        case Number(low, high):
            return st.decimals(low, high, places=3).map(lambda number: format(number.normalize(), "f"))
        case Choice(choices):
            return st.sampled_from(choices)
        case Word() | JsonObject():
            return st.just(argument.example)


def _specs() -> st.SearchStrategy[dict[str, Any]]:
    arguments = st.lists(st.sampled_from(sorted(ALLOWED)), max_size=12, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: _value(ALLOWED[name]) for name in names})
    )
    engine = st.fixed_dictionaries(
        {"args": arguments},
        optional={
            "maxModelLen": st.integers(16, 100_000_000),
            "gpuMemoryUtilization": st.decimals("0.01", "1", places=2),
            "quantization": st.sampled_from(["awq", "fp8", "gptq", "compressed-tensors"]),
        },
    )
    served = st.from_regex(SERVED_NAME, fullmatch=True).filter(lambda name: len(name) <= 128)
    return st.fixed_dictionaries(
        {
            "model": st.fixed_dictionaries({"source": st.just("s3://models/tiny")}, optional={"servedName": served}),
            "engine": engine,
            "accelerator": st.fixed_dictionaries({"profile": st.just("nvidia"), "count": st.integers(1, 8)}),
        }
    )


def _generated() -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}

    # Hypothesis repeats itself with small changes: more examples than wanted, each kept once.
    @settings(max_examples=2 * GENERATED, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(_specs())
    def collect(spec: dict[str, Any]) -> None:
        if not check_all(LLMDeploymentSpec.model_validate(spec).engine):
            found.setdefault(repr(spec), spec)

    collect()
    return list(found.values())


def _examples() -> list[tuple[str, dict[str, Any]]]:
    files = sorted(path for path in (places.REPO / "examples").rglob("*.yaml") if "negative" not in path.parts)
    documents = [(path.name, document) for path in files for document in yaml.safe_load_all(path.read_text())]
    return [(name, document["spec"]) for name, document in documents if document and document["kind"] == "LLMDeployment"]


def _argv(spec: dict[str, Any], profile: EngineProfile) -> list[str]:
    parsed = LLMDeploymentSpec.model_validate(spec)
    assert check_all(parsed.engine) == []
    # The engine finds its model in /model; here it lies elsewhere.
    here = {"--model=/model": f"--model={model.ensure()}"}
    return [here.get(argument, argument) for argument in vllm_argv(parsed, parsed.model.served_name or "chat", profile)]


@pytest.fixture(scope="module", name="profile")
def profile_fixture() -> EngineProfile:
    return EngineProfile.model_validate(yaml.safe_load(_VALUES.read_text())["engineProfiles"]["vllm"])


@pytest.fixture(scope="module", name="named_specs")
def named_specs_fixture() -> list[tuple[str, dict[str, Any]]]:
    return _examples() + [(f"generated {number}", spec) for number, spec in enumerate(_generated())]


@pytest.fixture(scope="module", name="answers")
def answers_fixture(named_specs: list[tuple[str, dict[str, Any]]], profile: EngineProfile) -> Answers:
    wrong = [[f"--model={model.ensure()}", "--no-such-argument"], [f"--model={model.ensure()}", "--max-num-seqs=many"]]
    return ask([_argv(spec, profile) for _, spec in named_specs] + wrong)


def test_vllm_takes_the_arguments_of_every_example_and_of_two_hundred_generated_specs(
    named_specs: list[tuple[str, dict[str, Any]]], answers: Answers
) -> None:
    assert _examples()
    assert len(named_specs) >= GENERATED + len(_examples())
    verdicts = answers.verdicts[: len(named_specs)]
    refused = [
        f"{name}: {verdict.refusal}\n  {verdict.arguments}"
        for (name, _), verdict in zip(named_specs, verdicts, strict=True)
        if not verdict.accepted
    ]
    assert not refused, "\n".join(refused)


def test_vllm_refuses_what_it_does_not_know(answers: Answers) -> None:
    unknown, wrong_type = answers.verdicts[-2:]
    assert "unrecognized arguments: --no-such-argument" in str(unknown.refusal)
    assert "argument --max-num-seqs: invalid int value" in str(wrong_type.refusal)


def test_every_name_of_our_tables_is_an_option_of_vllm(answers: Answers) -> None:
    unknown = [name for name in sorted({*ALLOWED, *NEVER, *OWNED, *MANAGED}) if f"--{name}" not in answers.options]
    assert unknown == []


def test_every_option_of_vllm_outside_the_allow_list_is_refused_in_every_spelling(answers: Answers) -> None:
    names = [option.lstrip("-") for option in answers.options if option.lstrip("-") not in ALLOWED]
    assert len(names) > len(NEVER)
    for name in names:
        for spelling in (
            name,
            f"--{name}",
            f"-{name}",
            name.replace("-", "_"),
            f"{name}.key",
            f"{name}+",
            f"{name}=1",
            name.upper(),
            name[:-1],
        ):
            if spelling not in ALLOWED:
                assert check(spelling, "1") is not None, spelling


@pytest.mark.parametrize("name", sorted(NEVER))
def test_an_argument_that_nobody_may_set_is_refused_with_the_reason(name: str) -> None:
    refusal = check(name, "true")
    assert refusal is not None
    assert "never accepted, because" in refusal


def test_the_parser_asked_is_the_one_of_the_engine_image() -> None:
    profile = yaml.safe_load(_VALUES.read_text())["engineProfiles"]["vllm"]
    assert profile["version"] == vllm_site.VERSION
    assert profile["image"].endswith(f":{vllm_site.VERSION}")
    assert Path(vllm_site.site(), f"vllm-{vllm_site.VERSION}+cpu.dist-info").is_dir()
