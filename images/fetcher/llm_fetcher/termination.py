"""The answer the operator reads: a small JSON document in the container's termination message."""

import json
from pathlib import Path

from llm_fetcher.errors import FetchError
from llm_fetcher.listing import Listing

MAX_BYTES = 1024
DEFAULT_PATH = "/dev/termination-log"
_ELLIPSIS = "…"


def resolved(listing: Listing) -> str:
    """Return the message of a source that was resolved."""
    return json.dumps({"digest": listing.digest, "bytes": listing.size, "files": len(listing.entries)})


def failed(error: FetchError) -> str:
    """Return the message of an error, its sentence cut so that the whole stays within what is read."""
    text = error.message
    while len(_encode(error, text)) > MAX_BYTES:
        over = len(_encode(error, text)) - MAX_BYTES
        text = text.removesuffix(_ELLIPSIS)[: -max(over // 12, 1)] + _ELLIPSIS
    return _encode(error, text).decode()


def write(path: Path, message: str) -> None:
    """Write the message where the kubelet reads it."""
    path.write_text(message)


def _encode(error: FetchError, text: str) -> bytes:
    return json.dumps({"error": {"reason": error.reason, "message": text}}, ensure_ascii=False).encode(errors="replace")
