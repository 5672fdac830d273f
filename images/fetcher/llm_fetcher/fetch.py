"""The two things the fetcher does: say what a source holds now, and put exactly that into a directory."""

import errno
import logging
import os
import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path

from llm_fetcher import manifest, s3, volume
from llm_fetcher.download import Stream, download
from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.listing import Entry, Listing, make_listing
from llm_fetcher.manifest import Manifest
from llm_fetcher.model import model_files
from llm_fetcher.patience import Patience, retried
from llm_fetcher.progress import Progress, human
from llm_fetcher.s3_errors import changed
from llm_fetcher.source import S3Source, VolumeSource
from llm_fetcher.workspace import Workspace

log = logging.getLogger("llm_fetcher")

PROGRESS_EVERY_S = 5.0


def list_bucket(source: S3Source, env: Mapping[str, str], *, give_up_after_s: float) -> Listing:
    """Return the model files of a bucket's prefix, trying again while the store cannot be reached."""
    bucket = s3.open_bucket(source, env, give_up_after_s=give_up_after_s)
    listing = retried(lambda: make_listing(bucket.entries(), what=str(source)), give_up_after_s=give_up_after_s)
    return model_files(listing, what=str(source))


def list_volume(source: VolumeSource, mounted_at: Path) -> Listing:
    """Return the model files of a mounted volume."""
    return model_files(make_listing(volume.entries(source, mounted_at), what=str(source)), what=str(source))


def verify_volume(source: VolumeSource, mounted_at: Path, digest: str) -> None:
    """Raise SourceChanged unless the mounted volume holds exactly what was resolved."""
    _check_digest(list_volume(source, mounted_at), digest, what=str(source))
    log.info("verified %s", source)


def fetch_bucket(source: S3Source, env: Mapping[str, str], target: Path, digest: str, *, parallel: int, give_up_after_s: float) -> None:
    """Fill the target with exactly what was resolved; a target that already has it costs nothing, not even a request."""
    if manifest.is_complete(target, digest):
        log.info("%s is complete already", target)
        return
    listing = list_bucket(source, env, give_up_after_s=give_up_after_s)
    _check_digest(listing, digest, what=str(source))
    workspace = Workspace(target)
    try:
        workspace.claim(listing)
        _check_room(target, workspace.missing_bytes(listing))
        stream = s3.open_bucket(source, env, give_up_after_s=give_up_after_s).stream
        sums = _download_all(listing, stream, workspace, parallel=parallel, give_up_after_s=give_up_after_s)
        Manifest.of(listing, sums).write(target)
        workspace.close()
    except OSError as error:
        raise _target_error(target, error) from error


def _download_all(listing: Listing, stream: Stream, workspace: Workspace, *, parallel: int, give_up_after_s: float) -> dict[str, str]:
    progress = Progress(listing.size, len(listing.entries))
    stop, parts_known = threading.Event(), threading.Event()

    def begin(entry: Entry) -> str:
        # Made here and not when the file is queued: its time without progress is not the time it waits for others.
        return download(entry, stream, workspace, progress, Patience(give_up_after_s, stop), parts_known)

    pool = ThreadPoolExecutor(parallel, thread_name_prefix="download")
    # The largest first: a long one that starts last would run alone at the end.
    ordered = sorted(listing.entries, key=lambda entry: -entry.size)
    futures = {pool.submit(begin, entry): entry.path for entry in ordered}
    try:
        _watch(futures, progress)
        return {path: future.result() for future, path in futures.items()}
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _watch(futures: Mapping[Future[str], str], progress: Progress) -> None:
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=PROGRESS_EVERY_S, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
        log.info("%s", progress.line())


def _check_digest(listing: Listing, digest: str, *, what: str) -> None:
    if listing.digest != digest:
        log.info("%s now holds %d files, %s, %s; wanted %s", what, len(listing.entries), human(listing.size), listing.digest, digest)
        raise changed(what)


def _check_room(target: Path, needed: int) -> None:
    status = os.statvfs(target)
    free = status.f_bavail * status.f_frsize
    if needed > free:
        raise FetchError(
            Reason.DISK_FULL,
            f"{target} has {human(free)} free and the model needs {human(needed)} more: give the node's or volume's disk more room",
        )


def _target_error(target: Path, error: OSError) -> FetchError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return FetchError(Reason.DISK_FULL, f"{target} ran full while the model was fetched: give the node's or volume's disk more room")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR}:
        return FetchError(Reason.TARGET_NOT_WRITABLE, f"{target} cannot be written by user {os.getuid()}: {error.strerror}")
    return FetchError(Reason.INTERNAL, f"{target}: {error.strerror or error}")
