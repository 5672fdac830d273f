"""Finds and reads the operator's configuration file."""

from collections.abc import Mapping
from pathlib import Path

from llm_operator.api.config import DEFAULT_PATH, PATH_VARIABLE, ConfigError, OperatorConfig, load_config

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def read_config(environ: Mapping[str, str], pod_namespace: Path = _POD_NAMESPACE) -> OperatorConfig:
    """Return the configuration, with the operator's namespace and the watched ones filled in, or raise ConfigError."""
    path = Path(environ.get(PATH_VARIABLE) or DEFAULT_PATH)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; set {PATH_VARIABLE} to the path of the configuration file") from error
    try:
        config = load_config(text)
    except ConfigError as error:
        raise ConfigError(f"{path}:\n{error}") from error
    own = config.operator_namespace or _read_namespace(pod_namespace)
    if not own:
        raise ConfigError(f"{path}: operatorNamespace is empty and this is not a pod; name the namespace the operator counts as its own")
    watched = config.namespaces or (() if config.cluster_wide else (own,))
    if config.cluster_wide and config.namespaces:
        raise ConfigError(f"{path}: clusterWide and namespaces exclude each other; leave one out")
    return config.model_copy(update={"operator_namespace": own, "namespaces": watched})


def _read_namespace(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
