from pathlib import Path

import pytest

from llm_operator.api.config import ConfigError
from llm_operator.shell.config import read_config

TEXT = "images: {sidecar: s, fetcher: f}\nengineProfiles: {vllm: {image: i, version: 0.32.0}}\nacceleratorProfiles: {cpu: {}}\n"


def write(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return {"LLM_OPERATOR_CONFIG": str(path)}


def namespace(tmp_path: Path, name: str = "home") -> Path:
    path = tmp_path / "namespace"
    path.write_text(f"{name}\n")
    return path


def test_the_operators_own_namespace_is_watched_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, TEXT), namespace(tmp_path))
    assert (config.operator_namespace, config.namespaces, config.cluster_wide) == ("home", ("home",), False)


def test_a_list_of_namespaces_replaces_the_default(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, TEXT + "namespaces: [a, b]\noperatorNamespace: ops\n"), tmp_path / "none")
    assert (config.operator_namespace, config.namespaces) == ("ops", ("a", "b"))


def test_cluster_wide_watches_no_single_namespace(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, TEXT + "clusterWide: true\n"), namespace(tmp_path))
    assert config.namespaces == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (TEXT + "clusterWide: true\nnamespaces: [a]\n", "clusterWide and namespaces exclude each other"),
        (TEXT + "resyncSeconds: 1\n", "resyncSeconds"),
        ("images: [", "not YAML"),
    ],
)
def test_an_error_names_the_file_and_what_to_do(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_config(write(tmp_path, text), namespace(tmp_path))
    assert str(tmp_path / "config.yaml") in str(caught.value)


def test_outside_a_pod_the_namespace_has_to_be_given(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="operatorNamespace is empty and this is not a pod"):
        read_config(write(tmp_path, TEXT), tmp_path / "none")


def test_a_missing_file_is_named_with_the_variable_that_moves_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="set LLM_OPERATOR_CONFIG"):
        read_config({"LLM_OPERATOR_CONFIG": str(tmp_path / "none.yaml")}, namespace(tmp_path))
