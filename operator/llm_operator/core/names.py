"""Names, labels and tokens that operator and pods agree on. Names come from hashes, so the same input gives the same objects."""

import base64
import hashlib
from functools import lru_cache

GROUP = "llmops.dev"
FIELD_MANAGER = "llm-operator"
STATUS_MANAGER = "llm-operator-status"

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_DEPLOYMENT = f"{GROUP}/deployment"
LABEL_ENGINE = f"{GROUP}/engine"
LABEL_REVISION = f"{GROUP}/revision"
LABEL_SERVING = f"{GROUP}/serving"
LABEL_ROLE = f"{GROUP}/role"
ROLE_ENTRY = "entry"
ANNOTATION_TEMPLATE = f"{GROUP}/template"
"""Set on the Deployment of the entry: the hash of its pod template as it was rendered, so that it is kept and an edit of it noticed."""
ANNOTATION_INPUTS = f"{GROUP}/inputs"
"""Set on Deployments of engines; what the engine was made from, so that a lost ControllerRevision can be made again. Set on the
ControllerRevision of an engine too once other inputs have led to the same pods: its data cannot be changed."""
ANNOTATION_ACTION = f"{GROUP}/action"
"""Set on an LLMDeployment by whoever asks for a verb; answered in ``status.actions``."""
ANNOTATION_GENERATION = f"{GROUP}/table-generation"
"""Set on pods to make the kubelet sync the snapshot at once; its value is the table generation, with .2 or .3 the second and third time."""
ANNOTATION_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
"""Set on the pod that is to go first when there are to be fewer; Kubernetes' own name for it."""

MANAGED_BY = "llm-operator"
PUBLIC_PORT = 8080
ADMIN_PORT = 9090
ENGINE_PORT = 8000
MODEL_DIR = "/model"
SNAPSHOT_DIR = "/etc/llm/snapshot"
SECRETS_DIR = "/etc/llm/secrets"
TOKEN_HEADER = "x-llm-pod-token"  # noqa: S105  # a header's name


def managed_labels(deployment: str) -> dict[str, str]:
    """Return the labels every object we own carries; watches and lists select on them."""
    return {LABEL_MANAGED_BY: MANAGED_BY, LABEL_DEPLOYMENT: deployment}


@lru_cache(maxsize=4096)
def pod_token(uid: str) -> str:
    """Return the token that pods of one LLMDeployment ask of each other and of the kubelet's drain call; 32 characters of base32."""
    return base64.b32encode(hashlib.sha256(f"llm-pod:{uid}".encode()).digest()).decode()[:32]


def snapshot(deployment: str) -> str:
    """Return the name of the snapshot ConfigMap."""
    return f"{deployment}-snapshot"


def evidence(deployment: str) -> str:
    """Return the name of the ConfigMap that keeps what the gates of a rollout have seen."""
    return f"{deployment}-evidence"


def child(deployment: str, identity: str) -> str:
    """Return the name of what belongs to one engine or revision: its Deployment, Service or ControllerRevision."""
    return f"{deployment}-{identity}"


def resolve_job(deployment: str, digest: str) -> str:
    """Return the name of the Job that resolves one reference."""
    return f"{deployment}-resolve-{digest}"


def entry(deployment: str) -> str:
    """Return the name of the sidecars without an engine, which hold requests while no engine can take them."""
    return f"{deployment}-entry"


def secret(deployment: str) -> str:
    """Return the name of the user's optional Secret with the sidecar's keys."""
    return f"{deployment}-sidecar"
