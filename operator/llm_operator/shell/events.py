"""Kubernetes Events about a custom resource: what `kubectl describe` and `kubectl events` show."""

from datetime import datetime

from llm_operator.core import kinds
from llm_operator.core.actions import EventDraft
from llm_operator.core.canonical import identity
from llm_operator.core.clock import micro
from llm_operator.shell.ports import Manifest

CONTROLLER = "llmops.dev/llm-operator"
_NOTE_CAP_BYTES = 1024


def event(about: Manifest, draft: EventDraft, instance: str, now: datetime) -> Manifest:
    """Return the Event for a draft. Its name comes from what it says about which state, so saying it again changes nothing."""
    metadata = about["metadata"]
    said = identity([metadata["uid"], metadata.get("resourceVersion", ""), draft.type, draft.reason, draft.message])
    return {
        "apiVersion": kinds.EVENT.api_version,
        "kind": kinds.EVENT.kind,
        "metadata": {"name": f"{metadata['name']}.{said}", "namespace": metadata["namespace"]},
        "eventTime": micro(now),
        "type": draft.type,
        "reason": draft.reason,
        "note": draft.message.encode()[:_NOTE_CAP_BYTES].decode(errors="ignore"),
        "action": "Reconcile",
        "reportingController": CONTROLLER,
        "reportingInstance": instance,
        "regarding": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
    }
