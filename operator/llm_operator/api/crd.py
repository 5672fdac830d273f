"""The custom resource definitions, whole."""

from dataclasses import dataclass
from typing import Any

from llm_operator.api.base import VALIDATIONS, ApiModel, rule
from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.api.llmprompt import PromptSpec
from llm_operator.api.patterns import DNS_LABEL, MAX_NAME
from llm_operator.api.schema import structural
from llm_operator.api.status import LLMDeploymentStatus, LLMPromptStatus

GROUP = "llmops.dev"
VERSION = "v1alpha1"

_NAME_RULE = rule(
    f"self.metadata.name.size() <= {MAX_NAME} && self.metadata.name.matches(r'{DNS_LABEL}')",
    f"metadata.name must have at most {MAX_NAME} characters, lower-case letters, digits and '-', begin with a letter and not end with '-'",
)


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`; ``wide`` shows it with `-o wide` only."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False

    def render(self) -> dict[str, Any]:
        """Return the column as the API server reads it."""
        column: dict[str, Any] = {"name": self.name, "jsonPath": self.path, "description": self.description, "type": self.type}
        return {**column, "priority": 1} if self.wide else column


@dataclass(frozen=True)
class Resource:
    """One custom resource: its names, its models, and how `kubectl get` shows it."""

    kind: str
    short_names: tuple[str, ...]
    description: str
    spec: type[ApiModel]
    status: type[ApiModel]
    columns: tuple[Column, ...]
    scalable: bool = False

    @property
    def plural(self) -> str:
        """Return the name of the resource in URLs."""
        return f"{self.kind.lower()}s"

    def schema(self) -> dict[str, Any]:
        """Return the schema of the whole object."""
        return {
            "type": "object",
            "description": self.description,
            "required": ["spec"],
            "properties": {
                "apiVersion": {"type": "string", "description": f"Version of the API: {GROUP}/{VERSION}."},
                "kind": {"type": "string", "description": f"Kind of the object: {self.kind}."},
                "metadata": {"type": "object"},  # the server knows it, and refuses any word about it
                "spec": structural(self.spec),
                "status": structural(self.status),
            },
            VALIDATIONS: [dict(_NAME_RULE)],
        }

    def render(self) -> dict[str, Any]:
        """Return the CustomResourceDefinition."""
        scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{self.plural}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "names": {
                    "kind": self.kind,
                    "listKind": f"{self.kind}List",
                    "plural": self.plural,
                    "singular": self.kind.lower(),
                    "shortNames": list(self.short_names),
                    "categories": ["llmops"],
                },
                "scope": "Namespaced",
                "versions": [
                    {
                        "name": VERSION,
                        "served": True,
                        "storage": True,
                        "additionalPrinterColumns": [column.render() for column in self.columns],
                        "schema": {"openAPIV3Schema": self.schema()},
                        "subresources": {"status": {}, **({"scale": scale} if self.scalable else {})},
                    }
                ],
            },
        }


_AGE = Column("AGE", ".metadata.creationTimestamp", "Time since the object was created.", type="date")

LLM_DEPLOYMENT = Resource(
    kind="LLMDeployment",
    short_names=("llm",),
    description="LLMDeployment is one served large language model: weights, engine and prompt as one version.",
    spec=LLMDeploymentSpec,
    status=LLMDeploymentStatus,
    columns=(
        Column("READY", '.status.conditions[?(@.type=="Ready")].status', "Whether the stable revision answers requests."),
        Column("PHASE", ".status.phase", "The state in one word."),
        Column("REPLICAS", ".status.readyReplicas", "Engine pods that answer requests.", type="integer"),
        Column("STABLE", ".status.stable.revision", "The revision that serves."),
        Column("CANARY", ".status.canary.revision", "The revision that is coming up."),
        Column("WEIGHT", ".status.canary.weight", "Share of all requests the coming revision gets, in percent.", type="integer"),
        _AGE,
        Column("MODEL", ".spec.model.source", "Where the weights come from.", wide=True),
        Column("PROMPT", ".spec.prompt.ref.name", "The LLMPrompt in use.", wide=True),
        Column("REASON", ".status.reason", "Why it is in this phase.", wide=True),
    ),
    scalable=True,
)

LLM_PROMPT = Resource(
    kind="LLMPrompt",
    short_names=("llmp",),
    description="LLMPrompt is a prompt with its sampling parameters; LLMDeployments of the namespace refer to it by name.",
    spec=PromptSpec,
    status=LLMPromptStatus,
    columns=(
        Column("VALID", '.status.conditions[?(@.type=="Valid")].status', "Whether the prompt can be served."),
        Column("DIGEST", ".status.digest", "Hash of the prompt."),
        _AGE,
        Column("REASON", '.status.conditions[?(@.type=="Valid")].reason', "Why it can or cannot be served.", wide=True),
    ),
)

RESOURCES: tuple[Resource, ...] = (LLM_DEPLOYMENT, LLM_PROMPT)
