"""What the pod tells the sidecar through its environment. Everything that may change while it runs is in the snapshot instead."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from llm_sidecar.token_metrics import OPT_IN

_LARGEST = 1e9
_MOST_BYTES = 1e15


class SettingsError(ValueError):
    """An environment the sidecar cannot start with, naming the variable."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment, read once at start. The pod sets more than this: what is not used yet is not read.

    An ``engine`` that is empty, but said, makes this an entry: a sidecar without an engine, which hands requests on or holds them.
    """

    deployment: str
    engine: str
    pod_token: str
    served_name: str
    engine_kind: str
    engine_host: str
    engine_port: int
    snapshot_dir: Path
    secrets_dir: Path
    latest_names: bool
    drain_minimum_s: float
    drain_max_stream_s: float
    host: str
    port: int
    admin_port: int
    memory_bytes: int
    """What the container may use; 0 asks its cgroup."""


def read(environment: Mapping[str, str]) -> Settings:
    """Return the settings of an environment, or raise SettingsError for the first variable that is missing or wrong."""
    url = urlsplit(environment.get("LLM_ENGINE_URL", "http://127.0.0.1:8000"))
    if url.scheme != "http" or not url.hostname:
        raise SettingsError(f"LLM_ENGINE_URL: {url.geturl()!r} is not an http:// address")
    return Settings(
        deployment=_required(environment, "LLM_DEPLOYMENT"),
        engine=_said(environment, "LLM_ENGINE"),
        pod_token=_required(environment, "LLM_POD_TOKEN"),
        served_name=_required(environment, "LLM_SERVED_NAME"),
        engine_kind=environment.get("LLM_ENGINE_KIND", "vllm"),
        engine_host=url.hostname,
        engine_port=url.port or 80,
        snapshot_dir=Path(environment.get("LLM_SNAPSHOT_DIR", "/etc/llm/snapshot")),
        secrets_dir=Path(environment.get("LLM_SECRETS_DIR", "/etc/llm/secrets")),
        latest_names=OPT_IN in environment.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").replace(" ", "").split(","),
        drain_minimum_s=_number(environment, "LLM_DRAIN_MINIMUM_S", 10),
        drain_max_stream_s=_number(environment, "LLM_DRAIN_MAX_STREAM_S", 600),
        host=environment.get("LLM_LISTEN_HOST", "0.0.0.0"),
        port=int(_number(environment, "LLM_PORT", 8080)),
        admin_port=int(_number(environment, "LLM_ADMIN_PORT", 9090)),
        memory_bytes=int(_number(environment, "LLM_MEMORY_BYTES", 0, below=_MOST_BYTES)),
    )


def _said(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if value is None:
        raise SettingsError(f"{name} is not set; set it to nothing for a sidecar without an engine")
    return value


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set")
    return value


def _number(environment: Mapping[str, str], name: str, default: float, *, below: float = _LARGEST) -> float:
    text = environment.get(name) or str(default)
    try:
        value = float(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {text!r} is not a number") from error
    if not 0 <= value < below:
        raise SettingsError(f"{name}: {text} is out of range")
    return value
