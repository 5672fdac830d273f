"""The operator's own configuration: what an administrator offers to the users of a cluster."""

import difflib
import re
from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

from llm_operator.api.base import problems
from llm_operator.api.patterns import DNS_SUBDOMAIN, MAX_PROFILE_NAME
from llm_operator.api.quantities import AnyQuantity

DEFAULT_PATH = "/etc/llm-operator/config.yaml"
PATH_VARIABLE = "LLM_OPERATOR_CONFIG"

PullPolicy = Literal["Always", "IfNotPresent", "Never"]


def _profile_name(name: str) -> str:
    if len(name) > MAX_PROFILE_NAME or not re.fullmatch(DNS_SUBDOMAIN, name, re.ASCII):
        raise ValueError(f"a profile's name has at most {MAX_PROFILE_NAME} characters, lower-case letters, digits, '-' and '.'")
    return name


ProfileName = Annotated[str, AfterValidator(_profile_name)]


class ConfigError(ValueError):
    """A configuration that cannot be used; the text has one line per problem, each with the path of the field."""


class ConfigModel(BaseModel):
    """Base of the configuration's models. Unknown fields are errors: a misspelt key must not be silently without effect."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
    )


class Images(ConfigModel):
    """Images the operator puts beside every engine."""

    sidecar: str = Field(min_length=1)
    """Image of the sidecar."""
    fetcher: str = Field(min_length=1)
    """Image of the fetcher."""


class EngineProfile(ConfigModel):
    """One kind of engine users may choose by name in `spec.engine.profile`."""

    kind: Literal["vllm"] = "vllm"
    """Which program it is, and so how it is started and watched."""
    image: str = Field(min_length=1)
    """Image of the engine."""
    version: str = Field(min_length=1, max_length=63)
    """Version of the engine in the image."""
    command: tuple[str, ...] = ()
    """Command in front of the arguments; empty uses the image's entry point."""
    args: tuple[str, ...] = ()
    """Arguments every engine of this profile gets; the user's and then the operator's follow and win."""
    env: dict[str, str] = {}
    """Environment every engine of this profile gets."""
    run_as_user: int = Field(default=10001, ge=1)
    """User id of the container, never root."""
    run_as_group: int = Field(default=10001, ge=1)
    """Group id of the container."""
    image_pull_policy: PullPolicy | None = None
    """When the image is pulled; absent is the policy of all images."""
    image_pull_secrets: tuple[str, ...] = ()
    """Pull secrets of the image, in the users' namespaces, besides those of all images."""


class Toleration(ConfigModel):
    """One toleration of pods that use an accelerator profile."""

    key: str | None = None
    """Key of the taint; absent with operator Exists matches every taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Whether the value counts."""
    value: str | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; absent matches all."""
    toleration_seconds: int | None = None
    """How long a NoExecute taint is tolerated."""

    @field_validator("key", "value")
    @classmethod
    def _absent_if_empty(cls, text: str | None) -> str | None:
        """Say it as the API server stores it: what it drops would be set right for ever."""
        return text or None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        """Refuse what the API server refuses, before it does so for every pod of the profile."""
        if self.operator == "Exists" and self.value is not None:
            raise ValueError(f"with operator Exists a toleration has no value; remove {self.value!r}, or use operator Equal")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("without key a toleration matches every taint, and needs operator Exists")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("tolerationSeconds is for effect NoExecute only")
        return self


class AcceleratorProfile(ConfigModel):
    """One kind of accelerator users may choose by name in `spec.accelerator.profile`."""

    resource: str | None = Field(default=None, min_length=1)
    """Resource name, such as nvidia.com/gpu; absent is a profile without an accelerator."""
    node_selector: dict[str, str] = {}
    """Labels of the nodes that have it."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints of those nodes."""
    memory: AnyQuantity | None = None
    """Memory of one accelerator."""
    runtime_class_name: str | None = Field(default=None, min_length=1)
    """Runtime class the pods need."""


class Sources(ConfigModel):
    """Where users may take weights from."""

    schemes: tuple[Literal["s3", "pvc"], ...] = ("s3", "pvc")
    """Schemes `spec.model.source` may have."""
    s3_buckets: tuple[str, ...] = ()
    """Buckets s3:// sources may name; empty is any."""


class ContainerResources(ConfigModel):
    """Requests and limits of a container the operator adds."""

    requests: dict[str, AnyQuantity] = {"cpu": "250m", "memory": "256Mi"}
    """What the container is sure to get."""
    limits: dict[str, AnyQuantity] = {"cpu": "2", "memory": "1Gi"}
    """What the container cannot exceed."""


class LeaderElection(ConfigModel):
    """Which of several operators works: the holder of a Lease in the operator's namespace."""

    enabled: bool = True
    """Whether to wait for the Lease before anything is done; without it there must never be a second operator."""
    lease_name: str = Field(default="llm-operator", min_length=1, max_length=253)
    """Name of the Lease."""


class GateServer(ConfigModel):
    """A service that answers what a gate asks."""

    url: str = Field(min_length=1, max_length=1024, pattern=r"^https?://[^\s@?#]+$")
    """Where it is; of Prometheus the address in front of `/api/v1/query`."""
    token_file: str = ""
    """File with a bearer token, read for each question; empty sends none."""


class Gates(ConfigModel):
    """Who answers those gates of rollouts that the operator cannot answer itself."""

    prometheus: GateServer | None = None
    """Prometheus, or what speaks its API, for `promql` gates."""
    webhooks: dict[ProfileName, GateServer] = {}
    """Services for `webhook` gates, by name."""


class OperatorConfig(ConfigModel):
    """The whole configuration file."""

    images: Images
    """Images the operator puts beside every engine."""
    image_pull_policy: PullPolicy = "IfNotPresent"
    """When images are pulled."""
    image_pull_secrets: tuple[str, ...] = ()
    """Pull secrets of all images, in the users' namespaces."""
    engine_profiles: dict[ProfileName, EngineProfile] = Field(min_length=1)
    """Engines users may choose, by name."""
    accelerator_profiles: dict[ProfileName, AcceleratorProfile] = Field(min_length=1)
    """Accelerators users may choose, by name."""
    sources: Sources = Sources()
    """Where users may take weights from."""
    sidecar_resources: ContainerResources = ContainerResources()
    """Resources of the sidecar. What waits in it, `spec.limits.hold.bytes`, may take half of its memory. The other half, less 64 MiB for
    the program, is for requests that are served: bodies may be a quarter of it at once, since one takes up to four times its size."""
    fetcher_resources: ContainerResources = ContainerResources()
    """Resources of the containers that resolve and fetch weights."""
    namespaces: tuple[str, ...] = ()
    """Namespaces that are watched; empty is the operator's own, unless `clusterWide` is set."""
    cluster_wide: bool = False
    """Watch every namespace."""
    operator_namespace: str = Field(default="", max_length=63)
    """Namespace the operator runs in; empty asks the pod."""
    monitoring_namespaces: tuple[str, ...] = ()
    """Namespaces whose pods may read the metrics of the sidecars."""
    nudge: bool = True
    """Whether the operator may annotate pods, which delivers a changed snapshot at once; without it the kubelet takes its minute."""
    model_check_seconds: int = Field(default=21_600, ge=10, le=2_592_000)
    """Sources of models whose `updatePolicy` is not `Pin` are asked this often what they hold."""
    resync_seconds: int = Field(default=600, ge=10, le=86_400)
    """Everything is looked at again at least this often, whether something was heard of it or not."""
    gateway: bool = False
    """Whether the operator may make HTTPRoutes of the Gateway API for those who ask for one in `spec.routing.gateway`."""
    scaling_conflicts: bool = True
    """Whether the operator may list HorizontalPodAutoscalers and KEDA's ScaledObjects: `autoscaling.mode: BuiltIn` gives way to one that
    targets the same object, and says so."""
    gates: Gates = Gates()
    """Who answers those gates of rollouts that the operator cannot answer itself."""
    leader_election: LeaderElection = LeaderElection()
    """Which of several operators works."""


def load_config(text: str) -> OperatorConfig:
    """Read a configuration file, or raise ConfigError naming every problem."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"not YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError("the configuration must be a YAML map with at least images, engineProfiles and acceleratorProfiles")
    try:
        return OperatorConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_line(field, message) for field, message in problems(error))) from error


_MODELS = (
    *(OperatorConfig, Images, EngineProfile, Toleration, AcceleratorProfile, Sources, ContainerResources, GateServer, Gates),
    LeaderElection,
)
_KNOWN = sorted({to_camel(name) for model in _MODELS for name in model.model_fields})


def _line(field: str, message: str) -> str:
    """Return one problem as a line; a misspelt key comes with the name that was probably meant."""
    if "not permitted" not in message:
        return f"{field}: {message}"
    name = field.rpartition(".")[2]
    close = [each for each in difflib.get_close_matches(name, _KNOWN, n=1) if each != name]
    return f"{field}: there is no such field" + (f"; did you mean {close[0]}?" if close else "")
