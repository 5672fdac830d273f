"""Lets requests in: who shows a key of the mounted file, as far as its limits go. A file that cannot be used lets nobody in."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from llm_sidecar.auth.keys import FILE, Key, Keys, KeysError, bearer, read
from llm_sidecar.auth.quota import OverLimitError, Quota
from llm_sidecar.errors import Refusal
from llm_sidecar.key_metrics import BoundKey, KeyMetrics

_log = logging.getLogger(__name__)
_TRIES = 3
_LINK = "..data"  # the kubelet swaps this link, so everything behind it changes at once
_RETRY_S = 5
_NEVER = object()
_CHALLENGE = ((b"www-authenticate", b"Bearer"),)
_REFUSED = ((b"www-authenticate", b'Bearer error="invalid_token"'),)


class Doorman:
    """Knows the keys of one directory. ``sharers`` says how many sidecars serve."""

    def __init__(self, directory: Path, sharers: Callable[[], int], metrics: KeyMetrics, poll_s: float = 1.0) -> None:
        self._directory = directory
        self._sharers = sharers
        self._metrics = metrics
        self._poll_s = poll_s
        self._seen: object = _NEVER
        self._keys: Keys | None = None
        self._quotas: dict[str, Quota] = {}
        self.error = "the file has not been read yet"

    async def watch(self) -> None:
        """Follow the file until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._poll_s)

    async def look(self) -> None:
        """Read the file if it is another one than at the last look."""
        for _ in range(_TRIES):  # the kubelet may swap the directory under a read
            version = self._version()
            if version == self._seen:
                return
            if version is None:
                self._seen = None
                self._shut(f"the Secret has no {FILE}", logging.INFO if self._keys is None else logging.WARNING)
                return
            try:
                keys = await asyncio.to_thread(self._read)
            except OSError as error:
                if self._version() == version:
                    self._shut(f"{FILE} of the Secret cannot be read: {error.strerror}")
                    return
            except KeysError as error:
                self._seen = version
                self._shut(f"{FILE} of the Secret cannot be used: {error}")
                return
            else:
                self._seen = version
                self._open(keys)
                return

    def authenticate(self, authorization: bytes) -> Key:
        """Return the key a client has shown, or raise Refusal."""
        if self._keys is None:
            message = "nobody can be let in: this deployment asks for API keys and has no usable list of them"
            raise self._refused(Refusal(503, "keys_unavailable", message, retry_after_s=_RETRY_S))
        shown = bearer(authorization)
        if not shown:
            raise self._refused(Refusal(401, "api_key_missing", "send an API key as `Authorization: Bearer KEY`", headers=_CHALLENGE))
        key = self._keys.find(shown)
        if key is None:
            raise self._refused(Refusal(401, "api_key_invalid", "this API key is not one of this deployment", headers=_REFUSED))
        return key

    def enter(self, key: str) -> "Entry | None":
        """Count a request of a key in, or raise Refusal where it has used up a limit.

        A key that another sidecar has let in and this one has not read of yet has no limits here.
        """
        quota = self._quotas.get(key)
        if quota is None:
            return None
        try:
            began = quota.begin(self._sharers())
        except OverLimitError as over:
            self._metrics.limited.labels(key, over.limit).inc()
            raise
        return Entry(quota, began, self._metrics.bind(key))

    @property
    def _file(self) -> Path:
        link = self._directory / _LINK
        return (link if link.is_symlink() else self._directory) / FILE

    def _read(self) -> Keys:
        return read(self._file.read_bytes())

    def _version(self) -> object:
        """Return what changes with the file; None while there is none."""
        with contextlib.suppress(OSError):
            status = self._file.stat()
            return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
        return None

    def _open(self, keys: Keys) -> None:
        _log.info("api keys read count=%d", len(keys.by_id))
        self._keys, self.error = keys, ""
        for gone in self._quotas.keys() - keys.by_id.keys():
            self._metrics.forget(gone)
        self._quotas = {id_: self._quota(key) for id_, key in keys.by_id.items()}

    def _quota(self, key: Key) -> Quota:
        known = self._quotas.get(key.id)
        if known is None:
            return Quota(key.limits)
        known.limits = key.limits
        return known

    def _shut(self, error: str, level: int = logging.WARNING) -> None:
        if error != self.error:
            _log.log(level, "no api keys: %s", error)
        self._keys, self.error = None, error

    def _refused(self, refusal: Refusal) -> Refusal:
        self._metrics.unauthenticated.labels(refusal.code).inc()
        return refusal


class Entry:
    """A request of a key that was let in. Ended once."""

    __slots__ = ("_began", "_bound", "_quota")

    def __init__(self, quota: Quota, began: float, bound: BoundKey) -> None:
        self._quota = quota
        self._began = began
        self._bound = bound  # bound now: at its end the key may be gone, and must not come back to the metrics

    def undo(self) -> None:
        """Forget a request that no engine has begun."""
        self._quota.undo(self._began)

    def end(self, input_tokens: int, output_tokens: int) -> None:
        """Count what a request has cost."""
        self._quota.end(input_tokens + output_tokens)
        self._bound.requests.inc()
        self._bound.input_tokens.inc(input_tokens)
        self._bound.output_tokens.inc(output_tokens)
