from pathlib import Path

import pytest
import yaml

from llm_operator.api.config import ConfigError, load_config

MINIMAL = {
    "images": {"sidecar": "example/sidecar:1", "fetcher": "example/fetcher:1"},
    "engineProfiles": {"vllm": {"image": "example/vllm:1", "version": "0.32.0"}},
    "acceleratorProfiles": {"cpu": {}},
}


def test_the_least_there_must_be_has_defaults_for_the_rest() -> None:
    config = load_config(yaml.safe_dump(MINIMAL))
    assert config.image_pull_policy == "IfNotPresent"
    assert config.sources.schemes == ("s3", "pvc")
    assert config.engine_profiles["vllm"].run_as_user == 10001
    assert config.accelerator_profiles["cpu"].resource is None
    assert config.sidecar_resources.requests["cpu"] == "250m"
    assert config.resync_seconds == 600


def test_every_problem_is_named_with_its_path() -> None:
    text = """
    images: {sidecar: example/sidecar:1}
    engineProfiles: {vllm: {image: example/vllm:1, version: "1", runAsUser: 0}}
    acceleratorProfiles: {Big_GPU: {}, nvidia: {memory: much}}
    """
    with pytest.raises(ConfigError) as raised:
        load_config(text)
    lines = str(raised.value).splitlines()
    assert lines[0] == "images.fetcher: Field required"
    assert lines[1] == "engineProfiles.vllm.runAsUser: Input should be greater than or equal to 1, not 0"
    assert lines[2].startswith("acceleratorProfiles.Big_GPU.[key]: a profile's name has at most 63 characters")
    assert lines[3] == "acceleratorProfiles.nvidia.memory: 'much' is not a quantity; write it like 4, 500m, 64Gi or 1.5Gi"


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("engineProfile", "engineProfile: there is no such field; did you mean engineProfiles?"),
        ("runAsUser", "runAsUser: there is no such field"),
        ("zzz", "zzz: there is no such field"),
    ],
)
def test_a_misspelt_key_is_an_error_that_names_what_was_meant(key: str, line: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(yaml.safe_dump({**MINIMAL, key: {}}))
    assert str(raised.value) == line


@pytest.mark.parametrize("text", ["", "[]", "just text", "{"])
def test_a_file_that_is_no_map_is_an_error_in_words(text: str) -> None:
    with pytest.raises(ConfigError, match=r"must be a YAML map|not YAML"):
        load_config(text)


def test_a_cluster_without_profiles_can_serve_nobody() -> None:
    with pytest.raises(ConfigError, match="engineProfiles"):
        load_config(yaml.safe_dump({**MINIMAL, "engineProfiles": {}}))


def test_the_charts_default_profiles_can_be_read() -> None:
    values = yaml.safe_load(Path("charts/llm-operator/values.yaml").read_text())
    config = {**MINIMAL, **{key: values[key] for key in ("engineProfiles", "acceleratorProfiles")}}
    assert load_config(yaml.safe_dump(config)).engine_profiles["vllm"].kind == "vllm"


def toleration(**of: object) -> str:
    return yaml.safe_dump({**MINIMAL, "acceleratorProfiles": {"gpu": {"tolerations": [of]}}})


@pytest.mark.parametrize(
    ("given", "stored"),
    [({"key": "", "operator": "Exists"}, None), ({"key": "a", "operator": "Exists", "value": ""}, "a")],
)
def test_what_an_api_server_drops_of_a_toleration_is_not_asked_for(given: dict[str, object], stored: str | None) -> None:
    (found,) = load_config(toleration(**given)).accelerator_profiles["gpu"].tolerations
    assert (found.key, found.value) == (stored, None)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"key": "a", "operator": "Exists", "value": "b"}, "with operator Exists a toleration has no value; remove 'b'"),
        ({"value": "b"}, "without key a toleration matches every taint, and needs operator Exists"),
        ({"key": "a", "effect": "NoSchedule", "tolerationSeconds": 5}, "tolerationSeconds is for effect NoExecute only"),
    ],
)
def test_a_toleration_that_no_api_server_takes_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(toleration(**given))
    assert str(raised.value).splitlines()[0].startswith(f"acceleratorProfiles.gpu.tolerations[0]: {words}")
