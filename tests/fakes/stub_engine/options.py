"""How the stub starts: vLLM's command line, of which it uses a few flags and refuses none, and STUB_* variables for what vLLM has not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

_ALIASES = {"-tp": "tensor-parallel-size", "-q": "quantization", "-pp": "pipeline-parallel-size"}


@dataclass(frozen=True)
class Pace:
    """How fast the pretended model is; zero means no delay."""

    startup_s: float = 0.0
    ttft_s: float = 0.005
    prefill_tokens_per_s: float = 0.0
    tokens_per_s: float = 200.0
    default_tokens: int = 32
    kv_tokens: int = 131_072

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Pace":
        """Read ``STUB_STARTUP_S``, ``STUB_TOKENS_PER_S`` and so on."""
        given = {each.name: env[f"STUB_{each.name.upper()}"] for each in fields(cls) if f"STUB_{each.name.upper()}" in env}
        return cls(**{name: type(getattr(cls, name))(value) for name, value in given.items()})


@dataclass(frozen=True)
class Options:
    """What the stub uses of vLLM's flags."""

    model: str = "stub"
    served_names: tuple[str, ...] = ()
    host: str = "0.0.0.0"
    port: int = 8000
    shutdown_timeout_s: int = 0
    max_model_len: int = 8192
    max_num_seqs: int = 256
    max_num_queued_reqs: int | None = None
    force_usage: bool = False
    request_id_headers: bool = False
    api_keys: frozenset[str] = frozenset()
    pace: Pace = field(default_factory=Pace)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names clients may use; the first is the one in metrics."""
        return self.served_names or (self.model,)


def parse(arguments: Sequence[str], env: Mapping[str, str]) -> Options:
    """Read a vLLM command line, with or without ``serve`` and a positional model."""
    flags, words = _split(arguments)
    words = [word for word in words if word != "serve"]
    defaults = Options()

    def one(name: str, default: str) -> str:
        return flags[name][-1] if flags.get(name) else default

    queued = one("max-num-queued-reqs", "")
    return Options(
        model=one("model", words[0] if words else defaults.model),
        served_names=tuple(flags.get("served-model-name", ())),
        host=one("host", defaults.host),
        port=int(one("port", str(defaults.port))),
        shutdown_timeout_s=int(one("shutdown-timeout", "0")),
        max_model_len=_length(one("max-model-len", str(defaults.max_model_len))),
        max_num_seqs=int(one("max-num-seqs", str(defaults.max_num_seqs))),
        max_num_queued_reqs=int(queued) if queued else None,
        force_usage="enable-force-include-usage" in flags,
        request_id_headers="enable-request-id-headers" in flags,
        api_keys=frozenset(flags.get("api-key", ())) | frozenset(key for key in (env.get("VLLM_API_KEY"),) if key),
        pace=Pace.from_env(env),
    )


def _split(arguments: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    flags: dict[str, list[str]] = {}
    words: list[str] = []
    open_flag: list[str] | None = None
    for argument in arguments:
        if argument.startswith("--") or argument in _ALIASES:
            name, equals, value = argument.partition("=")
            open_flag = flags.setdefault(_ALIASES.get(name, name.removeprefix("--")), [])
            if equals:
                open_flag.append(value)
                open_flag = None
        elif open_flag is not None:
            open_flag.append(argument)
        else:
            words.append(argument)
    return flags, words


def _length(text: str) -> int:
    scale = {"k": 1000, "m": 1_000_000, "K": 1024, "M": 1024**2}.get(text[-1:], 0)
    return int(float(text[:-1]) * scale) if scale else int(text)
