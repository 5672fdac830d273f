"""Where a model lives, parsed from the URL in the spec."""

import re
from dataclasses import dataclass

from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.paths import checked_path

_URL = re.compile(r"(?P<scheme>[a-z0-9]+)://(?P<place>[^/]*)(?P<path>/.*)?", re.DOTALL)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CLAIM = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class S3Source:
    """All objects of one bucket below a prefix; an empty prefix means the whole bucket."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True)
class VolumeSource:
    """A directory of a PersistentVolumeClaim that is mounted as the model directory."""

    claim: str
    path: str

    def __str__(self) -> str:
        return f"pvc://{self.claim}/{self.path}".rstrip("/")


Source = S3Source | VolumeSource


def parse(url: str) -> Source:
    """Return the source a URL names, or raise SourceInvalid saying what is wrong with it."""
    if "?" in url or "#" in url:
        raise FetchError(Reason.SOURCE_INVALID, f"source {url!r} has a '?' or '#', which names nothing here: remove it")
    found = _URL.fullmatch(url)
    scheme, place, path = (found["scheme"], found["place"], (found["path"] or "").strip("/")) if found else ("", "", "")
    if path:
        checked_path(path, what=f"source {url!r}")
    match scheme:
        case "s3" if _BUCKET.fullmatch(place):
            return S3Source(place, path)
        case "pvc" if _CLAIM.fullmatch(place):
            return VolumeSource(place, path)
    raise FetchError(Reason.SOURCE_INVALID, f"source {url!r} is neither s3://bucket/prefix nor pvc://claim/path")
