"""Deterministic tar streams: sorted, owned by root, dated 1970, readable by everyone."""

import io
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_BUFFER = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One file, directory or symbolic link of a layer; ``content`` is bytes, a file on disk, a link target, or None for a directory."""

    path: str
    content: Path | bytes | str | None
    mode: int = 0o644


def directory(path: str, mode: int = 0o755) -> Entry:
    """Return the entry of a directory."""
    return Entry(path, None, mode)


def script(path: str, text: str) -> Entry:
    """Return the entry of an executable text file."""
    return Entry(path, text.encode(), 0o755)


def tree(root: Path, at: str = "", *, skip: Callable[[str], bool] = lambda _: False) -> Iterator[Entry]:
    """Yield everything under ``root`` as if it lay at ``at``; ``skip`` is asked with paths below ``root`` and prunes folders whole."""
    pending = [root]
    while pending:
        for child in pending.pop().iterdir():
            below = child.relative_to(root).as_posix()
            if skip(below):
                continue
            path = str(PurePosixPath(at) / below)
            if child.is_symlink():
                yield Entry(path, str(child.readlink()))
            elif child.is_dir():
                pending.append(child)
                yield directory(path)
            elif child.is_file():
                yield Entry(path, child, 0o755 if child.stat().st_mode & 0o111 else 0o644)


def with_parents(entries: Iterable[Entry]) -> list[Entry]:
    """Sort the entries by path and add the directories they lie in; a path given twice is an error."""
    given: dict[str, Entry] = {}
    for entry in entries:
        path = entry.path.strip("/")
        if path in given and not (given[path].content is None and entry.content is None):
            raise ValueError(f"{path} is in the layer twice")
        given[path] = replace(entry, path=path)
    for path in list(given):
        for parent in PurePosixPath(path).parents:
            if str(parent) != ".":
                given.setdefault(str(parent), directory(str(parent)))
    return [given[path] for path in sorted(given, key=lambda path: path.split("/"))]


def write_tar(out: BinaryIO, entries: Iterable[Entry]) -> None:
    """Write the entries and their parent directories to ``out`` as one tar; no file is held in memory."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_BUFFER) as tar:
        tar.copybufsize = _BUFFER  # type: ignore[attr-defined]  # tarfile reads it; typeshed leaves it out
        for entry in with_parents(entries):
            _add(tar, entry)


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.path)
    info.mode = entry.mode
    match entry.content:
        case None:
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
        case str(target):
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
            tar.addfile(info)
        case bytes(data):
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        case file:
            with file.open("rb") as stream:
                info.size = file.stat().st_size
                tar.addfile(info, stream)
