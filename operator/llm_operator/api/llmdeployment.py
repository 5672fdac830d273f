"""LLMDeployment: weights, engine and prompt of one served model as one object."""

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llm_operator.api import sources
from llm_operator.api.autoscaling import Autoscaling
from llm_operator.api.base import VALIDATIONS, ApiModel, rule
from llm_operator.api.decimals import Real
from llm_operator.api.durations import Duration
from llm_operator.api.llmprompt import PromptSpec
from llm_operator.api.patterns import DNS_LABEL, DNS_SUBDOMAIN, ENGINE_ARGUMENT, MAX_NAME, MAX_PROFILE_NAME, SERVED_NAME
from llm_operator.api.pipeline import Pipeline
from llm_operator.api.quantities import Quantity
from llm_operator.api.rollout import Rollout
from llm_operator.api.routing import Routing

MAX_ARGS = 64


UpdatePolicy = Literal["Pin", "Notify", "Rollout"]
ProfileName = Annotated[str, Field(min_length=1, max_length=MAX_PROFILE_NAME, pattern=DNS_SUBDOMAIN)]
ArgValue = Annotated[str, Field(max_length=1024)]
Quantization = Literal[
    "awq",
    "awq_marlin",
    "compressed-tensors",
    "experts_int8",
    "fp8",
    "gptq",
    "gptq_marlin",
    "inc",
    "modelopt",
    "modelopt_fp4",
    "moe_wna16",
    "mxfp4",
    "quark",
]


class Credentials(ApiModel):
    """Where the containers that fetch weights get their keys."""

    secret_name: str = Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)
    """Secret in the same namespace, with any of the keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION,
    AWS_ENDPOINT_URL and AWS_ALLOW_HTTP; only containers that fetch weights see them."""


class Model(ApiModel):
    """Which weights are served, and under which name."""

    rules: ClassVar = (
        rule(
            "!has(self.credentials) || !self.source.startsWith('pvc://')",
            "credentials are for s3:// sources; remove credentials, a volume needs none",
        ),
    )

    source: str = Field(
        min_length=1,
        max_length=sources.MAX_LENGTH,
        json_schema_extra={
            VALIDATIONS: [
                rule(f"self.matches(r'{sources.PATTERN}')", sources.MESSAGE),
                rule(f"!self.matches(r'{sources.DOTS_PATTERN}')", sources.DOTS_MESSAGE),
            ]
        },
    )
    """Directory of a model in Hugging Face format: `s3://BUCKET/PREFIX` is fetched into each pod, `pvc://CLAIM/PATH` of a volume in the
    same namespace is mounted read-only and never copied."""
    credentials: Credentials | None = None
    """Keys for an `s3://` source; without them the bucket is read anonymously."""
    served_name: str | None = Field(default=None, min_length=1, max_length=128, pattern=SERVED_NAME)
    """Name clients use as `model`; by default the name of this object. Changing it starts new engine pods."""
    update_policy: UpdatePolicy = "Pin"
    """What other files at the same `source` do: `Rollout` serves them, `Notify` sets the condition UpdateAvailable, `Pin` nothing. Unless
    it is `Pin`, the source is asked again every 6 hours, or as often as the administrator has set."""


class EngineResources(ApiModel):
    """CPU and memory of the engine container, as request and limit; accelerators come from `spec.accelerator`."""

    # The default passes beside less memory: rules see fields with their defaults, so it looks the same whether it was written or not.
    rules: ClassVar = (
        rule(
            "!has(self.shm) || !has(self.memory) || quantity(string(self.shm)).compareTo(quantity('1Gi')) == 0 "
            "|| quantity(string(self.shm)).compareTo(quantity(string(self.memory))) <= 0",
            "shm must not be more than memory, of which it is a part; raise memory or lower shm",
        ),
    )

    cpu: Annotated[str, Quantity("10m", "1k")] = "4"
    """CPU cores."""
    memory: Annotated[str, Quantity("64Mi", "64Ti")] = "16Gi"
    """Memory, of which what lies in `shm` is a part."""
    shm: Annotated[str, Quantity("64Mi", "1Ti")] = "1Gi"
    """Size of /dev/shm, which engine processes use to talk to each other; more accelerators need more."""


class Startup(ApiModel):
    """How long a new engine pod may take to become ready."""

    timeout: Annotated[str, Duration("10s", "24h")] = "20m"
    """Time from the creation of a pod, fetching and loading the weights included, after which Progressing turns False."""


class Engine(ApiModel):
    """How the engine runs: a profile the administrator offers, and the settings a user may choose."""

    profile: ProfileName = "vllm"
    """Name of an engine profile of the administrator: kind of engine, image and version."""
    tensor_parallel_size: int | None = Field(default=None, ge=1, le=64)
    """Accelerators the weights are split over, by default all of `accelerator.count`."""
    gpu_memory_utilization: Annotated[Decimal, Real("0.01", "1")] | None = None
    """Share of an accelerator's memory the engine may use for weights and cache; absent is the engine's own default."""
    max_model_len: int | None = Field(default=None, ge=16, le=100_000_000)
    """Most tokens prompt and answer may have together; absent is what the checkpoint says."""
    quantization: Quantization | None = None
    """How the weights are quantized; absent is what the checkpoint says."""
    args: dict[str, ArgValue] = Field(
        default={},
        max_length=MAX_ARGS,
        json_schema_extra={
            VALIDATIONS: [
                rule(
                    f"self.all(name, name.matches(r'{ENGINE_ARGUMENT}'))",
                    "names are engine arguments without leading dashes, in lower case, like max-num-seqs; the value is the map's value",
                )
            ]
        },
    )
    """More engine arguments by name, without leading dashes, such as `max-num-seqs: "64"`; "true" and "false" switch flags. Only the names
    of the allow-list in the reference are accepted."""
    resources: EngineResources = EngineResources()
    """CPU and memory of the engine container."""
    startup: Startup = Startup()
    """How long a new engine pod may take to become ready."""


class Accelerator(ApiModel):
    """Which accelerators one engine pod gets, and how many."""

    profile: ProfileName
    """Name of an accelerator profile of the administrator: the resource, and the nodes that have it."""
    count: int = Field(default=1, ge=1, le=64)
    """Accelerators per pod; without effect in a profile that has no accelerator."""


class PromptRef(ApiModel):
    """Reference to an LLMPrompt in the same namespace."""

    name: str = Field(min_length=1, max_length=MAX_NAME, pattern=DNS_LABEL)
    """Name of the LLMPrompt."""


class Prompt(ApiModel):
    """The prompt: an LLMPrompt by reference, or inline."""

    rules: ClassVar = (rule("has(self.ref) != has(self.inline)", "exactly one of ref and inline must be set"),)

    ref: PromptRef | None = None
    """LLMPrompt in the same namespace."""
    inline: PromptSpec | None = None
    """The prompt itself; a change of it is served without a restart."""
    update_policy: UpdatePolicy = "Notify"
    """What an edit of the referenced LLMPrompt does: `Rollout` serves it, `Notify` sets the condition UpdateAvailable, `Pin` nothing.
    Without effect on an inline prompt."""


class Hold(ApiModel):
    """What one pod keeps waiting while no engine can take a request: between two with capacity mode Replace, or asleep with none."""

    requests: int = Field(default=1024, ge=0, le=65_536)
    """Requests that may wait; one more is answered with 429. With 0 none waits."""
    bytes: Annotated[str, Quantity("1Ki", "1Gi")] = "64Mi"
    """Size of all bodies that may wait; at least `maxBodyBytes`, and at most half of the memory the administrator gives a sidecar."""
    timeout: Annotated[str, Duration("0s", "24h")] = "15m"
    """Time a request may wait for an engine, then it is answered with 429. It does not count against `totalTimeout`. At least 30s where
    `autoscaling` may take the last pod."""


class Limits(ApiModel):
    """What one pod accepts at a time; beyond it clients are told to come back."""

    max_body_bytes: Annotated[str, Quantity("1Ki", "64Mi")] = "4Mi"
    """Largest body of a request; a larger one is answered with 413."""
    max_concurrency: int = Field(default=256, ge=1, le=65_536)
    """Requests one pod works on at the same time."""
    queue: int = Field(default=64, ge=0, le=65_536)
    """Requests that may wait in one pod for one of `maxConcurrency` to end; one more is answered with 429."""
    queue_timeout: Annotated[str, Duration("0s", "10m")] = "2s"
    """Time a request may wait, then it is answered with 429."""
    total_timeout: Annotated[str, Duration("1s", "24h")] = "10m"
    """Time a request may take in all, streaming included, then it is cut; at least `drain.maxStream`."""
    max_depth: int = Field(default=64, ge=1, le=512)
    """Deepest nesting of a body; a deeper one is answered with 400, as is what is beyond the limits that follow."""
    max_items: int = Field(default=262_144, ge=1, le=100_000_000)
    """Longest list or object in a body; a prompt of token ids is one, too."""
    max_choices: int = Field(default=64, ge=1, le=1024)
    """Most choices of one request: the field `n`, times the number of prompts where `prompt` is a list of them. The engine has a limit of
    64 for `n` of its own."""
    max_tokens: int | None = Field(default=None, ge=1, le=10_000_000)
    """Most tokens a request may ask for, and what one that does not say gets at most; absent is as many as the context has room for."""
    max_stops: int = Field(default=16, ge=0, le=1024)
    """Most stop texts of one request."""
    hold: Hold = Hold()
    """What one pod keeps waiting while no engine can take a request."""


class Auth(ApiModel):
    """Who may send requests."""

    api_keys: Literal["Required", "Disabled"] = "Disabled"
    """`Required` lets nobody in without a key of the file `api-keys.json` in the Secret `NAME-sidecar`, NAME being the name of this object.
    Keys come and go with the Secret, without a new revision; without a usable file every request is refused."""


class Drain(ApiModel):
    """How a pod leaves: it takes no new requests, and those it has may finish."""

    minimum: Annotated[str, Duration("0s", "10m")] = "10s"
    """Time a leaving pod goes on accepting requests, until every client has learned that it leaves."""
    max_stream: Annotated[str, Duration("1s", "24h")] = "10m"
    """Time a request that is being answered may still take in a leaving pod."""


class LLMDeploymentSpec(ApiModel):
    """What is to be served: weights, engine and prompt as one version."""

    rules: ClassVar = (
        rule(
            "duration(self.limits.totalTimeout) >= duration(self.drain.maxStream)",
            "limits.totalTimeout must be at least drain.maxStream, else it would cut streams that a leaving pod lets finish; "
            "raise limits.totalTimeout or lower drain.maxStream",
        ),
        rule(
            "!has(self.engine.tensorParallelSize) || self.engine.tensorParallelSize <= self.accelerator.count",
            "engine.tensorParallelSize must not be more than accelerator.count; raise accelerator.count or leave tensorParallelSize out",
        ),
        rule(
            "!has(self.routing) || !has(self.routing.subject) || self.auth.apiKeys == 'Required' "
            "|| !self.routing.subject.exists(each, has(each.apiKey))",
            "routing.subject apiKey needs auth.apiKeys Required, else no request shows a key",
        ),
        rule(
            "!has(self.autoscaling) || !has(self.autoscaling.minReplicas) || self.autoscaling.minReplicas > 0 "
            "|| !has(self.limits) || !has(self.limits.hold) || !has(self.limits.hold.requests) || self.limits.hold.requests > 0",
            "autoscaling.minReplicas 0 needs limits.hold.requests of at least 1, else nobody could wait for a pod; "
            "raise minReplicas or limits.hold.requests",
        ),
        rule(
            "self.limits.hold.requests == 0 "
            "|| quantity(string(self.limits.hold.bytes)).compareTo(quantity(string(self.limits.maxBodyBytes))) >= 0",
            "limits.hold.bytes must be at least limits.maxBodyBytes, else the largest bodies could never wait for an engine; "
            "raise limits.hold.bytes or lower limits.maxBodyBytes",
        ),
        rule(
            "self.autoscaling.mode != 'BuiltIn' || self.autoscaling.minReplicas > 0 "
            "|| duration(self.limits.hold.timeout) >= duration('30s')",
            "autoscaling.minReplicas 0 needs limits.hold.timeout of at least 30s, else nobody would wait until a pod is woken; "
            "raise minReplicas or limits.hold.timeout",
        ),
    )

    model: Model
    """Which weights are served, and under which name."""
    engine: Engine = Engine()
    """How the engine runs."""
    accelerator: Accelerator
    """Which accelerators one engine pod gets, and how many."""
    replicas: int = Field(default=1, ge=0, le=1000)
    """Engine pods that are always there; `kubectl scale` and autoscalers set it. No effect while `autoscaling.mode` is `BuiltIn`."""
    autoscaling: Autoscaling = Autoscaling()
    """How the number of engine pods follows the load."""
    prompt: Prompt | None = None
    """The prompt in front of every request; absent serves the model as it is."""
    pipeline: Pipeline = Pipeline()
    """Stages requests and answers go through; a change of them is served without a restart."""
    limits: Limits = Limits()
    """What one pod accepts at a time."""
    auth: Auth = Auth()
    """Who may send requests; a change is served without a restart."""
    drain: Drain = Drain()
    """How a pod leaves."""
    routing: Routing = Routing()
    """How requests come in, and which of them belong together; a change of it is no new revision."""
    rollout: Rollout = Rollout()
    """How a change is let in."""
