"""ControllerRevisions: what an engine and a revision were made from, kept for as long as anyone may go back to them."""

from typing import Any

from llm_operator.core import kinds, names
from llm_operator.core.observed import Obj
from llm_operator.core.render.meta import Owner, child


def controller_revision(owner: Owner, identity: str, data: dict[str, Any], annotations: dict[str, str] | None = None) -> Obj:
    """Return the ControllerRevision of one engine or revision; the API server never lets its data change."""
    labels = {names.LABEL_ENGINE if data["kind"] == "engine" else names.LABEL_REVISION: identity}
    manifest = child(kinds.CONTROLLER_REVISION, owner, names.child(owner.name, identity), labels)
    if annotations:
        manifest["metadata"]["annotations"] = annotations
    return {**manifest, "data": data, "revision": 1}
