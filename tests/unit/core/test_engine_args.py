"""The allow-list against the help of the engine: what is allowed exists and means what we think, what is dangerous is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api.arguments import Choice, Flag, Integer, JsonObject, Number, Word
from llm_operator.api.config import EngineProfile
from llm_operator.api.engine_args import MANAGED, NEVER_BECAUSE, OWNED
from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.core.engine_args import ALLOWED, NEVER, check, check_all, vllm_argv

DATA = Path(__file__).parent / "data"
HELP: dict[str, dict[str, Any]] = json.loads((DATA / "vllm_0_32_flags.json").read_text())

DANGEROUS: dict[str, Any] = yaml.safe_load((DATA / "dangerous_flags.yaml").read_text())
MUST_NEVER_BE_SET = [name for names in DANGEROUS["never"].values() for name in names]
SAME_CLASS: list[str] = DANGEROUS["same class"]

PROFILE = EngineProfile(image="example/vllm:1", version="0.32.0")


def spellings(name: str) -> list[str]:
    """Return the ways the engine's parser would take a flag, besides the plain one."""
    prefixes = [name[:length] for length in range(3, len(name)) if name[:length] not in ALLOWED]
    under = name.replace("-", "_")
    decorated = [
        f"--{name}",
        f"-{name}",
        f"{name}=x",
        f"{name}.a",
        f"{name}+",
        f"{name}.a.b+",
        f"no-{name}",
        f" {name}",
        f"{name} ",
        f"{name}\n",
    ]
    return [
        name,
        under,
        name.upper(),
        *decorated,
        *prefixes,
        *HELP[name]["aliases"],
        *(alias.lstrip("-") for alias in HELP[name]["aliases"]),
    ]


def spec(**engine: Any) -> LLMDeploymentSpec:
    return LLMDeploymentSpec.model_validate(
        {"model": {"source": "s3://models/tiny"}, "accelerator": {"profile": "nvidia", "count": 2}, "engine": engine}
    )


@pytest.mark.parametrize("name", ALLOWED)
def test_an_allowed_argument_is_one_of_the_engine_with_the_values_we_think(name: str) -> None:
    argument, fact = ALLOWED[name], HELP[name]
    assert not fact["several"], "a value would have to be split"
    match argument:
        case Flag():
            assert not fact["takesValue"]
            assert fact["negatable"], '"false" renders as the negation'
        case Choice(choices, without):
            known = fact["choices"] or ["auto", "vllm"]  # generation-config also takes a folder
            assert set(choices) | set(without) == set(known)
            assert not set(choices) & set(without)
        case Integer(low, high):
            assert fact["takesValue"]
            assert fact["choices"] is None
            assert fact["default"] == "None" or low <= int(fact["default"]) <= high
        case Number(low, high):
            assert fact["takesValue"]
            assert fact["default"] == "None" or low <= float(fact["default"]) <= high
        case Word():
            assert fact["takesValue"]
            assert fact["choices"] is None
        case JsonObject():
            assert fact["json"]


def test_the_list_of_what_must_never_be_set_is_complete() -> None:
    assert set(MUST_NEVER_BE_SET) == NEVER


def test_what_is_refused_owned_or_managed_exists_in_the_engine_and_is_not_allowed() -> None:
    aliases = {alias.removeprefix("--") for fact in HELP.values() for alias in fact["aliases"]}
    for name in (*NEVER, *OWNED, *MANAGED):
        assert name in HELP or name in aliases
        assert name not in ALLOWED
    assert not NEVER & (OWNED.keys() | MANAGED)


@pytest.mark.parametrize("name", sorted(NEVER))
def test_what_must_never_be_set_is_refused_in_every_spelling(name: str) -> None:
    for spelling in spellings(name):
        assert check(spelling, "true"), spelling


@pytest.mark.parametrize("name", sorted(NEVER))
@pytest.mark.parametrize("form", ["{}", "--{}", "{}=x", "{}.a", "{}+", "no-{}"])
def test_a_refusal_says_why_and_what_to_do(name: str, form: str) -> None:
    sentence = check(form.format(name), "true")
    assert sentence
    assert sentence.startswith(f"spec.engine.args[{form.format(name)}]: never accepted, because {NEVER_BECAUSE[name]}; ")
    assert sentence.endswith("remove it, or ask the administrator for an engine profile that has it")


@pytest.mark.parametrize("name", SAME_CLASS)
def test_what_could_do_the_same_harm_is_not_allowed_either(name: str) -> None:
    assert name in HELP
    assert check(name, "true")


def test_every_argument_of_the_engine_that_is_not_on_the_list_is_refused() -> None:
    assert not [name for name in HELP if name not in ALLOWED and check(name, "true") is None]


@given(st.text(max_size=40), st.text(max_size=20))
def test_no_name_but_an_exact_one_is_accepted(name: str, value: str) -> None:
    assert check(name, value) is not None or (name in ALLOWED and ALLOWED[name].accepts(value))


@pytest.mark.parametrize(("name", "field"), OWNED.items())
def test_an_argument_with_a_field_is_refused_with_the_field(name: str, field: str) -> None:
    assert check(name, "1") == f"spec.engine.args[{name}]: this argument has a field of its own; use {field}"


@pytest.mark.parametrize("name", sorted(MANAGED))
def test_an_argument_the_operator_sets_is_refused(name: str) -> None:
    assert check(name, "1") == f"spec.engine.args[{name}]: the operator sets this argument on every engine; remove it"


def test_an_unknown_argument_is_refused_with_the_nearest_and_all_valid_names() -> None:
    sentence = check("max_num_seq", "1")
    assert sentence
    assert sentence.startswith(
        "spec.engine.args[max_num_seq]: not an argument that may be set; did you mean max-num-seqs? valid names are "
    )
    assert all(name in sentence for name in ALLOWED)
    assert "did you mean" not in (check("zzzzzzzz", "1") or "")


def test_a_value_out_of_range_is_refused_with_the_range() -> None:
    assert check("max-num-seqs", "0") == (
        'spec.engine.args[max-num-seqs]: "0" is not valid; use an integer from 1 to 65536, or remove the argument'
    )


def test_all_problems_are_told_in_the_order_of_their_names() -> None:
    problems = check_all(spec(args={"seed": "x", "dtype": "x", "max-num-seqs": "1"}).engine)
    assert [problem.partition(":")[0] for problem in problems] == ["spec.engine.args[dtype]", "spec.engine.args[seed]"]


def test_the_least_deployment_has_the_arguments_every_engine_needs() -> None:
    assert vllm_argv(spec(), "chat", PROFILE) == [
        "--model=/model",
        "--served-model-name=chat",
        "--tensor-parallel-size=2",
        "--host=127.0.0.1",
        "--port=8000",
        "--disable-fastapi-docs",
        "--disable-access-log-for-endpoints=/health,/metrics",
        "--enable-force-include-usage",
        "--shutdown-timeout=5",
    ]


def test_fields_and_arguments_become_one_list_and_ours_come_last() -> None:
    profile = PROFILE.model_copy(update={"args": ("--max-num-seqs=8", "--host=0.0.0.0")})
    engine = spec(
        tensorParallelSize=1,
        gpuMemoryUtilization=0.90,
        maxModelLen=8192,
        quantization="awq",
        args={"max-num-seqs": "64", "enforce-eager": "true", "enable-prefix-caching": "false"},
    )
    assert vllm_argv(engine, "chat", profile)[:12] == [
        "--max-num-seqs=8",
        "--host=0.0.0.0",
        "--no-enable-prefix-caching",
        "--enforce-eager",
        "--max-num-seqs=64",
        "--model=/model",
        "--served-model-name=chat",
        "--tensor-parallel-size=1",
        "--gpu-memory-utilization=0.9",
        "--max-model-len=8192",
        "--quantization=awq",
        "--host=127.0.0.1",
    ]


def test_json_is_canonical_and_no_variable_of_the_container_can_be_read_with_it() -> None:
    argv = vllm_argv(spec(args={"default-chat-template-kwargs": '{"b": "$(LLM_POD_TOKEN)",  "a": 1}'}), "chat", PROFILE)
    assert argv[0] == '--default-chat-template-kwargs={"a":1,"b":"\\u0024(LLM_POD_TOKEN)"}'
    assert json.loads(argv[0].partition("=")[2]) == {"a": 1, "b": "$(LLM_POD_TOKEN)"}


@given(st.decimals("0.01", "1", places=6))
def test_a_share_of_memory_is_written_without_exponent_or_needless_digits(share: Any) -> None:
    text = next(each for each in vllm_argv(spec(gpuMemoryUtilization=share), "chat", PROFILE) if "gpu-memory" in each).partition("=")[2]
    assert "E" not in text.upper()
    assert float(text) == float(share)
    assert not text.endswith("0")


def test_every_flag_that_is_always_set_exists_in_the_engine() -> None:
    for each in vllm_argv(spec(gpuMemoryUtilization=0.5, maxModelLen=64, quantization="fp8"), "chat", PROFILE):
        name, glued, _ = each.removeprefix("--").partition("=")
        assert HELP[name]["takesValue"] == bool(glued)


def test_automatic_tool_choice_needs_a_parser_beside_it() -> None:
    alone = check_all(spec(args={"enable-auto-tool-choice": "true"}).engine)
    assert len(alone) == 1
    assert "spec.engine.args[enable-auto-tool-choice]" in alone[0]
    assert "add tool-call-parser" in alone[0]
    assert check_all(spec(args={"enable-auto-tool-choice": "true", "tool-call-parser": "hermes"}).engine) == []
    assert check_all(spec(args={"enable-auto-tool-choice": "false"}).engine) == []
