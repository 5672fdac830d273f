"""The engine arguments a user may set, the ones nobody may, and the ones that have a field of their own. Names as of vLLM 0.32.

Free-form arguments are code execution, so this is an allow-list: what is not here is refused.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from llm_operator.api.arguments import Arg, Choice, Flag, Integer, JsonObject, Number, Word

VLLM_VERSION = "0.32"
"""Version whose help the table is tested against."""

_MAX_TOKENS = 2**31 - 1
_MAX_MEDIA = 999


def _template_variable(key: str, value: Any) -> bool:
    named = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", key) is not None
    return named and key not in {"chat_template", "tokenize"} and isinstance(value, str | int | float)


def _media_count(key: str, value: Any) -> bool:
    return key in {"image", "video", "audio"} and type(value) is int and value in range(_MAX_MEDIA + 1)  # a bool is an int too


_SCHEDULING: dict[str, Arg] = {
    "async-scheduling": Flag(),
    "enable-chunked-prefill": Flag(),
    "long-prefill-token-threshold": Integer(0, _MAX_TOKENS),
    "max-num-active-seqs": Integer(1, 65_536),
    "max-num-batched-tokens": Integer(1, _MAX_TOKENS),
    "max-num-queued-reqs": Integer(1, 1_000_000),
    "max-num-queued-tokens": Integer(1, _MAX_TOKENS),
    "max-num-seqs": Integer(1, 65_536),
    "scheduling-policy": Choice(("fcfs", "priority")),
    "stream-interval": Integer(1, 1_000),
    "watermark": Number(Decimal(0), Decimal("0.99")),
}

_CACHE: dict[str, Arg] = {
    "block-size": Integer(1, 4_096),
    "cpu-offload-gb": Number(Decimal(0), Decimal(65_536)),
    "enable-prefix-caching": Flag(),
    "kv-cache-dtype": Choice(
        (
            *("auto", "bfloat16", "float16", "fp8", "fp8_ds_mla", "fp8_e4m3", "fp8_e5m2", "fp8_inc", "fp8_per_token_head"),
            *("int4_per_token_head", "int8_per_token_head", "nvfp4", "nvfp4_4over6", "nvfp4_ds_mla", "turboquant_3bit_nc"),
            *("turboquant_4bit_nc", "turboquant_k3v4_nc", "turboquant_k8v4", "ultraquant_4bit"),
        )
    ),
    "kv-cache-memory-bytes": Integer(1_048_576, 2**48),
    "kv-cache-metrics": Flag(),
    "kv-offloading-size": Number(Decimal(0), Decimal(65_536)),
    "prefix-caching-hash-algo": Choice(("sha256", "sha256_cbor"), without=("xxhash", "xxhash_cbor")),
}

_LOADING: dict[str, Arg] = {
    "config-format": Choice(("auto", "hf", "mistral")),
    "dtype": Choice(("auto", "bfloat16", "float", "float16", "float32", "half")),
    "max-parallel-loading-workers": Integer(1, 64),
    "model-impl": Choice(("auto", "transformers", "vllm"), without=("terratorch",)),
    "safetensors-load-strategy": Choice(("eager", "lazy", "prefetch"), without=("torchao", "None")),
    "safetensors-prefetch-num-threads": Integer(1, 256),
    "seed": Integer(0, 2**32 - 1),
    "tokenizer-mode": Choice(("auto", "cohere", "deepseek_v32", "deepseek_v4", "hf", "inkling", "kimi_k3", "mistral")),
}

_EXECUTION: dict[str, Arg] = {
    "attention-backend": Word(r"auto|[A-Z][A-Z0-9_]{1,63}", "FLASHINFER"),
    "disable-cascade-attn": Flag(),
    "disable-custom-all-reduce": Flag(),
    "disable-sliding-window": Flag(),
    "distributed-executor-backend": Choice(("mp", "uni"), without=("external_launcher", "ray")),
    "enable-dbo": Flag(),
    "enable-expert-parallel": Flag(),
    "enforce-eager": Flag(),
    "linear-backend": Choice(
        (
            *("aiter", "auto", "b12x", "conch", "cutlass", "deep_gemm", "emulation", "exllama", "fbgemm", "flashinfer_b12x"),
            *("flashinfer_cudnn", "flashinfer_cutedsl", "flashinfer_cutlass", "flashinfer_trtllm", "humming", "machete", "marlin"),
            *("torch", "triton", "xpu", "xpu_woq"),
        )
    ),
    "max-cudagraph-capture-size": Integer(1, 65_536),
    "moe-backend": Choice(
        (
            *("aiter", "aiter_mega_moe", "aiter_triton_mxfp4_bf16", "auto", "b12x", "batched_triton", "cutlass", "deep_gemm"),
            *("deep_gemm_mega_moe", "emulation", "flashinfer_b12x", "flashinfer_cutedsl", "flashinfer_cutlass"),
            *("flashinfer_moe_ep_cutedsl", "flashinfer_moe_ep_mega_deep_gemm", "flashinfer_trtllm", "flydsl", "hpc", "humming"),
            *("marlin", "rdna3", "triton", "triton_unfused"),
        )
    ),
    "optimization-level": Integer(0, 3),
    "performance-mode": Choice(("balanced", "interactivity", "throughput")),
    "renderer-num-workers": Integer(1, 64),
}

_ANSWERS: dict[str, Arg] = {
    "chat-template-content-format": Choice(("auto", "openai", "string")),
    "default-chat-template-kwargs": JsonObject('{"enable_thinking": false}', _template_variable),
    "enable-auto-tool-choice": Flag(),
    "enable-prompt-tokens-details": Flag(),
    "exclude-tools-when-tool-choice-none": Flag(),
    "generation-config": Choice(("auto", "vllm")),
    "logprobs-mode": Choice(("processed_logits", "processed_logprobs", "raw_logits", "raw_logprobs")),
    "max-logprobs": Integer(0, 1_000),
    "reasoning-parser": Word(r"[a-z0-9_]{1,64}", "qwen3"),
    "tool-call-parser": Choice(
        (
            *("apertus", "cohere_command3", "cohere_command4", "deepseek_v3", "deepseek_v31", "deepseek_v32", "deepseek_v4"),
            *("deepseek_v41", "dots", "ernie45", "functiongemma", "gemma4", "gigachat3", "glm45", "glm47", "granite"),
            *("granite-20b-fc", "granite4", "hermes", "hf", "hunyuan_a13b", "hy_v3", "hy_v4", "inkling", "internlm", "jamba"),
            *("k2_horizon", "kimi_k2", "kimi_k3", "lfm2", "ling3", "llama3_json", "llama4_json", "llama4_pythonic", "longcat"),
            *("mimo", "minicpm5", "minimax_m2", "minimax_m3", "mistral", "muse_glimmer", "olmo3", "openai", "phi4_mini_json"),
            *("plamo3", "poolside_v1", "pythonic", "qwen3_coder", "qwen3_json", "qwen3_xml", "seed_oss", "step3", "step3p5", "xlam"),
        )
    ),
    "tool-strict-level": Choice(("auto", "function", "parameter")),
}

_MEDIA: dict[str, Arg] = {
    "language-model-only": Flag(),
    "limit-mm-per-prompt": JsonObject('{"image": 4, "video": 0}', _media_count),
    "mm-encoder-tp-mode": Choice(("data", "weights")),
    "mm-processor-cache-gb": Number(Decimal(0), Decimal(1_024)),
    "mm-processor-cache-type": Choice(("lru", "shm")),
    "skip-mm-profiling": Flag(),
}

_LOGGING: dict[str, Arg] = {
    "disable-uvicorn-access-log": Flag(),
    "uvicorn-log-level": Choice(("critical", "debug", "error", "info", "warning"), without=("trace",)),
}

GROUPS: Mapping[str, Mapping[str, Arg]] = {
    "Scheduling": _SCHEDULING,
    "Cache": _CACHE,
    "Loading": _LOADING,
    "Execution": _EXECUTION,
    "Answers": _ANSWERS,
    "Images, video and audio": _MEDIA,
    "Logging": _LOGGING,
}
ALLOWED: Mapping[str, Arg] = {name: argument for group in GROUPS.values() for name, argument in group.items()}
"""Every argument `spec.engine.args` accepts."""

OWNED: Mapping[str, str] = {
    "device-memory-utilization": "spec.engine.gpuMemoryUtilization",
    "gpu-memory-utilization": "spec.engine.gpuMemoryUtilization",
    "max-model-len": "spec.engine.maxModelLen",
    "model": "spec.model.source",
    "quantization": "spec.engine.quantization",
    "served-model-name": "spec.model.servedName",
    "tensor-parallel-size": "spec.engine.tensorParallelSize",
}
"""Arguments that have a field of their own."""

MANAGED: frozenset[str] = frozenset(
    {"disable-access-log-for-endpoints", "disable-fastapi-docs", "enable-force-include-usage", "shutdown-timeout"}
)
"""Arguments the operator sets on every engine."""

_LOADS_CODE = "it makes the engine load code or files of the caller's choice"
_WEAKENS = "it lets requests change code, templates or inputs the engine trusts"
_REACHES_OUT = "it reaches files or the network outside the model directory"
_BYPASSES = "it would open the engine past the sidecar or change who may call it"
_LEAKS = "it exposes prompts, answers or internals of the engine"

NEVER_BECAUSE: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("additional-config", "code-revision", "config", "hf-overrides", "io-processor-plugin", "log-config-file", "logging-config"),
            *("logits-processors", "middleware", "model-class-overrides", "model-loader-extra-config", "reasoning-parser-plugin"),
            *("scheduler-cls", "tool-parser-plugin", "trust-remote-code", "worker-cls", "worker-extension-cls"),
        ),
        _LOADS_CODE,
    ),
    **dict.fromkeys(
        ("chat-template", "enable-prompt-embeds", "tool-server", "trust-request-chat-template", "trust-request-mm-kwargs"),
        _WEAKENS,
    ),
    **dict.fromkeys(
        (
            *("allowed-local-media-path", "allowed-media-domains", "data-parallel-address", "download-dir", "ec-transfer-config"),
            *("hf-config-path", "kv-events-config", "kv-transfer-config", "load-format", "lora-modules", "master-addr"),
            *("mm-encoder-fp8-scale-save-path", "otlp-traces-endpoint", "weight-transfer-config"),
        ),
        _REACHES_OUT,
    ),
    **dict.fromkeys(
        (
            *("allowed-origins", "api-key", "enable-scale-out", "enable-ssl-refresh", "grpc", "grpc-port", "hf-token", "host", "port"),
            *("root-path", "ssl-ca-certs", "ssl-cert-reqs", "ssl-certfile", "ssl-ciphers", "ssl-keyfile", "uds"),
        ),
        _BYPASSES,
    ),
    **dict.fromkeys(
        ("enable-log-outputs", "enable-log-requests", "enable-sleep-mode", "enable-tokenizer-info-endpoint", "profiler-config"),
        _LEAKS,
    ),
}
"""Arguments nobody may set in an LLMDeployment, and why."""
NEVER: frozenset[str] = frozenset(NEVER_BECAUSE)
