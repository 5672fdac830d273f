"""One file from the store to its place: resumed, retried while bytes come, verified, renamed."""

import logging
import threading
from collections.abc import Callable, Iterator

from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.listing import Entry
from llm_fetcher.part import Part
from llm_fetcher.patience import Patience
from llm_fetcher.progress import Progress
from llm_fetcher.workspace import Workspace

log = logging.getLogger("llm_fetcher")

Stream = Callable[[Entry, int], Iterator[memoryview]]
"""Yields an entry's bytes from an offset, or raises FetchError."""

_MOST_DOWNLOADS = 3


def download(
    entry: Entry, stream: Stream, workspace: Workspace, progress: Progress, patience: Patience, parts_known: threading.Event
) -> str:
    """Put one file in its place and return its SHA-256; a no-op for a file an earlier run finished.

    ``parts_known`` is shared by the files of a model: set by the first whose ETag of several parts was proven.
    """
    sha256 = workspace.finished(entry)
    if sha256 is None:
        with Part(workspace.part(entry), entry) as part:
            progress.kept(part.size)
            # Reading what a killed run left may take minutes in which no byte could come.
            patience.progressed()
            _verified(part, entry, stream, progress, patience, parts_known)
            part.sync()
            sha256 = part.sha256
        workspace.finish(entry, sha256)
    else:
        progress.kept(entry.size)
    progress.file_done()
    return sha256


def _verified(part: Part, entry: Entry, stream: Stream, progress: Progress, patience: Patience, parts_known: threading.Event) -> None:
    """Fill the part until its bytes are the object's: by its ETag, or, where ETags are no MD5 (encrypted stores), by two equal copies."""
    seen: set[str] = set()
    while True:
        _fill(part, entry, stream, progress, patience)
        if _believed(part, entry, parts_known):
            return
        if part.sha256 in seen:
            log.info("%s: the store's ETag is not the MD5 of the bytes, but two downloads are equal: accepted", entry.path)
            return
        seen.add(part.sha256)
        if len(seen) == _MOST_DOWNLOADS:
            raise FetchError(
                Reason.SOURCE_CORRUPT,
                f"{entry.path!r} came with other bytes each of {_MOST_DOWNLOADS} times: the store or the path to it is broken",
            )
        log.info("%s: the bytes do not match the store's ETag, fetching it again from the start", entry.path)
        progress.lost(part.size)
        part.restart()


def _believed(part: Part, entry: Entry, parts_known: threading.Event) -> bool:
    matches = part.etag.matches
    if part.etag.is_of_parts and matches:
        parts_known.set()
    # Encrypted, or uploaded in parts of an odd size, more likely than broken, unless another file of the model was not.
    untold = matches is None or (part.etag.is_of_parts and not matches and not parts_known.is_set())
    if untold:
        log.info("%s: the store's ETag is not made in a way that is known, so only length and version are checked", entry.path)
    return untold or bool(matches)


def _fill(part: Part, entry: Entry, stream: Stream, progress: Progress, patience: Patience) -> None:
    while not part.is_whole:
        try:
            for chunk in stream(entry, part.size):
                patience.check()
                _append(part, entry, chunk)
                progress.received(len(chunk))
                patience.progressed()
        except FetchError as error:
            patience.after(error)
        else:
            if not part.is_whole:
                message = f"{entry.path!r} broke off after {part.size} of {entry.size} bytes"
                patience.after(FetchError(Reason.SOURCE_UNREACHABLE, message, transient=True))


def _append(part: Part, entry: Entry, chunk: memoryview) -> None:
    if part.size + len(chunk) > entry.size:
        raise FetchError(Reason.SOURCE_CORRUPT, f"{entry.path!r} has more bytes than the {entry.size} the store listed")
    part.append(chunk)
