"""S3 as the fetcher needs it: list a prefix, and stream one object's bytes from an offset, only while it is the version that was listed."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.listing import Entry, without_folder_markers
from llm_fetcher.s3_errors import classify
from llm_fetcher.source import S3Source

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config  # exist only in the type stubs

SETTINGS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP")
"""The environment variables that say where a bucket is and how it is read: the keys of the credentials Secret."""

_ETAG_KIND = "etag:"
_CHUNK_BYTES = 4 * 1024 * 1024
_DEFAULT_REGION = "us-east-1"
_LONGEST_SILENCE_S = 30.0
_ENDPOINT = re.compile(r"https?://[!-~]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_CLIENT_OPTIONS: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=10),
    # The client's own default of 30 s would cover the whole body and end every large download.
    "timeout": timedelta(days=1),
}


@dataclass(frozen=True)
class S3Bucket:
    """One prefix of a bucket, with the client that reads it."""

    source: S3Source
    store: S3Store
    has_keys: bool

    def entries(self) -> Iterator[Entry]:
        """Yield every file below the prefix with its path relative to it; raise FetchError when the store will not list."""
        return without_folder_markers(self._objects())

    def _objects(self) -> Iterator[Entry]:
        base = f"{self.source.prefix}/" if self.source.prefix else ""
        try:
            for page in obstore.list(self.store, self.source.prefix or None):
                for found in page:
                    # The client takes the slash off the end of keys: this one is the prefix's own marker.
                    if found["path"] == self.source.prefix and not found["size"]:
                        continue
                    path = found["path"].removeprefix(base)
                    yield Entry(path, found["size"], _checksum(found["e_tag"], path))
        except (BaseError, OSError, ValueError) as error:
            raise classify(error, what=str(self.source), has_keys=self.has_keys) from error

    def stream(self, entry: Entry, offset: int) -> Iterator[memoryview]:
        """Yield the object's bytes from ``offset``, or raise SourceChanged if it is no longer the version that was listed."""
        key = f"{self.source.prefix}/{entry.path}".lstrip("/")
        try:
            result = obstore.get(
                self.store, key, options={"if_match": entry.checksum.removeprefix(_ETAG_KIND), "range": {"offset": offset}}
            )
            for chunk in result.stream(min_chunk_size=_CHUNK_BYTES):
                yield memoryview(chunk)
        except (BaseError, OSError, ValueError) as error:
            raise classify(error, what=f"{self.source}: {entry.path!r}", has_keys=self.has_keys) from error


def open_bucket(source: S3Source, env: Mapping[str, str], *, give_up_after_s: float) -> S3Bucket:
    """Return the bucket with endpoint, region and keys of the environment; without keys it is read anonymously."""
    silence = timedelta(seconds=min(give_up_after_s, _LONGEST_SILENCE_S))
    given = settings(env)
    endpoint = given.get("AWS_ENDPOINT_URL")
    allow_http = given.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true"}
    _check_endpoint(endpoint, allow_http=allow_http)
    key, secret = given.get("AWS_ACCESS_KEY_ID"), given.get("AWS_SECRET_ACCESS_KEY")
    if bool(key) != bool(secret):
        missing = "AWS_SECRET_ACCESS_KEY" if key else "AWS_ACCESS_KEY_ID"
        raise FetchError(
            Reason.SOURCE_MISCONFIGURED, f"the credentials Secret has no {missing}: a key pair needs both, anonymous access neither"
        )
    options: S3Config = {"region": given.get("AWS_REGION", _DEFAULT_REGION)}
    if endpoint:
        options["endpoint"] = endpoint
    if key and secret:
        options |= {"access_key_id": key, "secret_access_key": secret}
        if token := given.get("AWS_SESSION_TOKEN"):
            options["session_token"] = token
    else:
        # Without this the client would ask the cloud's metadata service for the node's own rights.
        options["skip_signature"] = True
    store = S3Store(
        source.bucket,
        config=options,
        client_options={**_CLIENT_OPTIONS, "allow_http": allow_http, "read_timeout": silence},
        # Short: the caller retries too, and it knows whether any byte came through in between.
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=20)},
    )
    return S3Bucket(source, store, has_keys=bool(key))


def settings(env: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that are given, without the white space that a Secret made from a file has around them."""
    given = {name: value for name in SETTINGS if (value := env.get(name, "").strip())}
    for name, value in given.items():
        if _CONTROL.search(value):
            message = f"{name} in the credentials Secret has a line break or another control character inside: write it as one line"
            raise FetchError(Reason.SOURCE_MISCONFIGURED, message)
    return given


def _check_endpoint(endpoint: str | None, *, allow_http: bool) -> None:
    if endpoint is None:
        return
    if not _ENDPOINT.fullmatch(endpoint):
        raise FetchError(Reason.SOURCE_MISCONFIGURED, f"AWS_ENDPOINT_URL {endpoint!r} is not a URL: write https://host[:port]")
    if endpoint.startswith("http://") and not allow_http:
        raise FetchError(
            Reason.SOURCE_MISCONFIGURED,
            f"AWS_ENDPOINT_URL {endpoint!r} is not encrypted: use https://, or allow it with AWS_ALLOW_HTTP=true in the credentials Secret",
        )


def _checksum(etag: str | None, path: str) -> str:
    if not etag:
        raise FetchError(Reason.SOURCE_MISCONFIGURED, f"the store lists {path!r} without an ETag, so a change of it could not be seen")
    return f"{_ETAG_KIND}{etag}"
