"""The public paths. Exact bytes decide; whatever else a path could be made to mean is not found."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["chat", "completion", "generate", "models", "health"]


@dataclass(frozen=True, slots=True)
class Route:
    """One public path: what it is, how it is called, where it goes at the engine, its name in metrics, and which field has the text."""

    kind: Kind
    method: str
    upstream: str
    operation: str
    text: str | None = None


ROUTES = {
    b"/v1/chat/completions": Route("chat", "POST", "/v1/chat/completions", "chat", "messages"),
    b"/v1/completions": Route("completion", "POST", "/v1/completions", "text_completion", "prompt"),
    b"/generate": Route("generate", "POST", "/v1/completions", "text_completion", "prompt"),
    b"/v1/models": Route("models", "GET", "/v1/models", ""),
    b"/health": Route("health", "GET", "", ""),
}
