"""Where weights come from: ``s3://bucket/prefix`` and ``pvc://claim/path``."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

_PART = r"[A-Za-z0-9._=@+-]+"
_S3 = rf"s3://[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9](/{_PART})+/?"
_PVC = rf"pvc://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(/{_PART})*/?"
PATTERN = rf"^({_S3}|{_PVC})$"
DOTS_PATTERN = r"/\.\.?(/|$)"
MAX_LENGTH = 512
MESSAGE = "must be s3://BUCKET/PREFIX or pvc://CLAIM/PATH, of letters, digits and ._=@+- between the slashes"
DOTS_MESSAGE = "must not contain '.' or '..' as a part of the path; write the path without them"

_MATCH = re.compile(PATTERN, re.ASCII)
_DOTS = re.compile(DOTS_PATTERN)


@dataclass(frozen=True)
class Source:
    """A model source taken apart: ``container`` is the bucket or the claim, ``path`` has no slash at its ends."""

    scheme: Literal["s3", "pvc"]
    container: str
    path: str

    def __str__(self) -> str:
        """Return the canonical text of the source."""
        return f"{self.scheme}://{self.container}/{self.path}".rstrip("/")


@lru_cache(maxsize=1024)
def parse_source(text: str) -> Source:
    """Take a model source apart; raises ValueError with what is wrong."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"must not be longer than {MAX_LENGTH} characters")
    if not _MATCH.match(text) or text.endswith("\n"):
        raise ValueError(MESSAGE)
    if _DOTS.search(text):
        raise ValueError(DOTS_MESSAGE)
    scheme, _, rest = text.partition("://")
    container, _, path = rest.partition("/")
    return Source("s3" if scheme == "s3" else "pvc", container, path.rstrip("/"))
