"""A mounted volume as a source: listed by size and modification time, its files are never read."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.listing import Entry
from llm_fetcher.source import VolumeSource

_FILE_SYSTEM_NAMES = frozenset({"lost+found"})


def entries(source: VolumeSource, root: Path) -> Iterator[Entry]:
    """Yield every regular file below ``root``, where the source's directory is mounted; links must stay inside."""
    if not root.is_dir():
        raise FetchError(Reason.SOURCE_NOT_FOUND, f"{source} has no such directory: check the path inside the claim")
    yield from _walk(source, root.resolve(), root.resolve())


def _walk(source: VolumeSource, root: Path, directory: Path) -> Iterator[Entry]:
    try:
        found = sorted(os.scandir(directory), key=lambda each: each.name)
    except PermissionError as error:
        raise _denied(source, directory) from error
    for each in found:
        path = Path(each.path)
        if each.is_dir(follow_symlinks=False):
            if each.name not in _FILE_SYSTEM_NAMES:
                yield from _walk(source, root, path)
        else:
            yield _entry(source, root, path)


def _entry(source: VolumeSource, root: Path, path: Path) -> Entry:
    name = path.relative_to(root).as_posix()
    real = Path(os.path.realpath(path))  # unlike Path.resolve, it survives a link to itself
    if not real.is_relative_to(root):
        raise FetchError(Reason.UNSAFE_PATH, f"{source} holds {name!r}, a link that leaves the directory: replace it with the file itself")
    try:
        status = real.stat()
        readable = os.access(real, os.R_OK)
    except OSError as error:
        raise FetchError(Reason.SOURCE_NOT_FOUND, f"{source} holds {name!r}, a link to nothing: replace it with the file itself") from error
    if not stat.S_ISREG(status.st_mode):
        raise FetchError(Reason.UNSAFE_PATH, f"{source} holds {name!r}, which is no regular file: remove it")
    if not readable:
        raise _denied(source, path)
    return Entry(name, status.st_size, f"mtime:{status.st_mtime_ns}")


def _denied(source: VolumeSource, path: Path) -> FetchError:
    return FetchError(
        Reason.SOURCE_DENIED, f"{source}: {path.name!r} cannot be read by user {os.getuid()}: make the files world-readable (chmod -R a+rX)"
    )
