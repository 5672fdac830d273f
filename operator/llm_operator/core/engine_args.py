"""Engine arguments: refuse what is not on the allow-list, and render fields and arguments to one argv list."""

import difflib
import json
from collections.abc import Iterator
from decimal import Decimal

from llm_operator.api.arguments import Flag, JsonObject
from llm_operator.api.config import EngineProfile
from llm_operator.api.engine_args import ALLOWED, MANAGED, NEVER, NEVER_BECAUSE, OWNED
from llm_operator.api.llmdeployment import Engine, LLMDeploymentSpec
from llm_operator.core.names import ENGINE_PORT, MODEL_DIR

__all__ = ["ALLOWED", "NEVER", "check", "check_all", "vllm_argv"]

_FIELD = "spec.engine.args"

_ALWAYS = (
    "--host=127.0.0.1",  # only the sidecar reaches the engine
    f"--port={ENGINE_PORT}",
    "--disable-fastapi-docs",
    "--disable-access-log-for-endpoints=/health,/metrics",  # the last log line of a pod says what happened, not that it was asked
    "--enable-force-include-usage",  # the sidecar counts tokens by the usage of each answer
    "--shutdown-timeout=5",  # the default 0 aborts what still runs
)


def check_all(engine: Engine) -> list[str]:
    """Return a sentence for each argument that cannot be accepted, in the order of their names."""
    problems = [problem for name in sorted(engine.args) if (problem := check(name, engine.args[name])) is not None]
    if engine.args.get("enable-auto-tool-choice") == "true" and "tool-call-parser" not in engine.args:
        problems.append(
            f'{_FIELD}[enable-auto-tool-choice]: "true" needs the argument tool-call-parser beside it, else the engine does not start; '
            "add tool-call-parser, or remove enable-auto-tool-choice"
        )
    return problems


def check(name: str, value: str) -> str | None:
    """Return why an argument is refused, as a sentence with the field, the value and the way out, or nothing when it is accepted.

    Names match exactly: the engine itself also takes prefixes, underscores, dotted names and `name=value`, and each of them
    would be another way to spell what is refused here.
    """
    argument = ALLOWED.get(name)
    field = f"{_FIELD}[{name}]"
    if argument is None:
        return f"{field}: {_refusal(name)}"
    if not argument.accepts(value):
        return f'{field}: "{value}" is not valid; use {argument.expects}, or remove the argument'
    return None


def vllm_argv(spec: LLMDeploymentSpec, served_name: str, profile: EngineProfile) -> list[str]:
    """Return the arguments of a vLLM engine: the profile's, the user's, then ours, because the last one wins.

    Every value is glued to its name, so that none of them, whatever it begins with, can be read as an argument of its own.
    """
    return [*profile.args, *_user_arguments(spec.engine), *_field_arguments(spec, served_name), *_ALWAYS]


def _field_arguments(spec: LLMDeploymentSpec, served_name: str) -> Iterator[str]:
    engine = spec.engine
    yield f"--model={MODEL_DIR}"
    yield f"--served-model-name={served_name}"
    yield f"--tensor-parallel-size={engine.tensor_parallel_size or spec.accelerator.count}"
    if engine.gpu_memory_utilization is not None:
        yield f"--gpu-memory-utilization={_plain(engine.gpu_memory_utilization)}"
    if engine.max_model_len is not None:
        yield f"--max-model-len={engine.max_model_len}"
    if engine.quantization is not None:
        yield f"--quantization={engine.quantization}"


def _user_arguments(engine: Engine) -> Iterator[str]:
    """Yield the user's arguments in the order of their names; they have been checked."""
    for name, value in sorted(engine.args.items()):
        argument = ALLOWED[name]
        if isinstance(argument, Flag):
            yield f"--{name}" if value == "true" else f"--no-{name}"
        elif isinstance(argument, JsonObject):
            yield f"--{name}={_json(value)}"
        else:
            yield f"--{name}={value}"


def _json(value: str) -> str:
    """Return JSON in its canonical form, with `$` escaped: Kubernetes would replace `$(NAME)` by a variable of the container."""
    return json.dumps(json.loads(value), sort_keys=True, separators=(",", ":")).replace("$", "\\u0024")


def _refusal(name: str) -> str:
    plain = _plain_name(name)
    if plain in OWNED:
        return f"this argument has a field of its own; use {OWNED[plain]}"
    if plain in MANAGED:
        return "the operator sets this argument on every engine; remove it"
    if plain in NEVER_BECAUSE:
        return f"never accepted, because {NEVER_BECAUSE[plain]}; remove it, or ask the administrator for an engine profile that has it"
    close = difflib.get_close_matches(plain, ALLOWED, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"not an argument that may be set; {hint}valid names are {', '.join(sorted(ALLOWED))}"


def _plain_name(name: str) -> str:
    """Return the argument meant by any spelling the engine would take: dashes in front, underscores, negation, dots, plus, value."""
    bare = name.strip().lstrip("-").lower().replace("_", "-")
    for end in ".+= ":
        bare = bare.partition(end)[0]
    return bare.removeprefix("no-") if bare.removeprefix("no-") in NEVER | MANAGED else bare


def _plain(number: Decimal) -> str:
    return format(number.normalize(), "f")
