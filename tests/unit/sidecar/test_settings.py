"""The environment of a pod."""

from pathlib import Path

import pytest

from llm_sidecar import settings
from tests.unit.sidecar.support.pod import environment

ENVIRONMENT = environment(8000, Path("/etc/llm/snapshot"))


def test_what_the_pod_says_is_read() -> None:
    read = settings.read({**ENVIRONMENT, "LLM_DRAIN_MINIMUM_S": "2.5"})
    assert (read.deployment, read.engine, read.served_name) == ("chat", "e1", "chat")
    assert (read.engine_host, read.engine_port) == ("127.0.0.1", 8000)
    assert read.drain_minimum_s == 2.5


def test_the_rest_has_defaults() -> None:
    needed = ("LLM_DEPLOYMENT", "LLM_ENGINE", "LLM_POD_TOKEN", "LLM_SERVED_NAME")
    read = settings.read(dict.fromkeys(needed, "x"))
    assert (read.port, read.admin_port, read.engine_port, read.engine_kind) == (8080, 9090, 8000, "vllm")
    assert (read.drain_minimum_s, read.drain_max_stream_s) == (10, 600)
    assert read.snapshot_dir == Path("/etc/llm/snapshot")
    assert read.memory_bytes == 0, "its cgroup is asked"
    assert settings.read({**ENVIRONMENT, "LLM_MEMORY_BYTES": str(64 << 30)}).memory_bytes == 64 << 30


def test_the_latest_names_of_opentelemetry_are_asked_for_in_a_list() -> None:
    name = "OTEL_SEMCONV_STABILITY_OPT_IN"
    for value, latest in (("", False), ("http", False), ("http, gen_ai_latest_experimental", True), ("gen_ai_latest_experimental", True)):
        assert settings.read({**ENVIRONMENT, name: value}).latest_names == latest


def test_an_engine_must_be_named_or_ruled_out() -> None:
    assert settings.read({**ENVIRONMENT, "LLM_ENGINE": ""}).engine == ""
    with pytest.raises(settings.SettingsError, match="LLM_ENGINE"):
        settings.read({name: value for name, value in ENVIRONMENT.items() if name != "LLM_ENGINE"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LLM_POD_TOKEN", ""),
        ("LLM_ENGINE_URL", "https://elsewhere"),
        ("LLM_ENGINE_URL", "http://"),
        ("LLM_DRAIN_MINIMUM_S", "soon"),
        ("LLM_DRAIN_MAX_STREAM_S", "-1"),
        ("LLM_DRAIN_MAX_STREAM_S", "nan"),
        ("LLM_PORT", "http"),
        ("LLM_MEMORY_BYTES", "1Gi"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(settings.SettingsError, match=name):
        settings.read({**ENVIRONMENT, name: value})
