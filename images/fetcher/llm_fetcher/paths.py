"""Which relative paths may become files: a listing comes from outside and must not choose places outside the model directory."""

from collections.abc import Iterable, Iterator

from llm_fetcher.errors import FetchError, Reason

RESERVED_PREFIX = ".llm-"
"""Names the fetcher keeps for itself in the model directory: its manifest and its unfinished downloads."""

_MAX_PATH_BYTES = 1024
_MAX_NAME_BYTES = 255


def checked_path(path: str, *, what: str) -> str:
    """Return the path unchanged if it is relative, normal and writable on any file system, else raise UnsafePath naming ``what``."""
    problem = _problem(path)
    if problem:
        raise FetchError(Reason.UNSAFE_PATH, f"{what} holds {path!r}, {problem}: rename or remove it")
    return path


def check_together(paths: Iterable[str], *, what: str) -> None:
    """Raise UnsafePath if one path would have to be a file and a directory at once."""
    files = set(paths)
    for path in sorted(files):
        for parent in parents(path):
            if parent in files:
                raise FetchError(Reason.UNSAFE_PATH, f"{what} holds both {parent!r} and {path!r}, which no file system can: rename one")


def parents(path: str) -> Iterator[str]:
    """Yield the directories a relative path lies in, the nearest first."""
    while path := path.rpartition("/")[0]:
        yield path


def _problem(path: str) -> str:
    segments = path.split("/")
    if path.startswith("/"):
        return "an absolute path"
    if ".." in segments:
        return "a path that climbs out with '..'"
    if "" in segments or "." in segments:
        return "a path with an empty or '.' part"
    if "\\" in path or not path.isprintable():
        return "a path with a backslash or an unprintable character"
    if segments[0].startswith(RESERVED_PREFIX):
        return f"a name the fetcher keeps for itself ({RESERVED_PREFIX}*)"
    return _length_problem(path, segments)


def _length_problem(path: str, segments: list[str]) -> str:
    try:
        too_long = len(path.encode()) > _MAX_PATH_BYTES or any(len(segment.encode()) > _MAX_NAME_BYTES for segment in segments)
    except UnicodeEncodeError:
        return "a path that is not valid Unicode"
    return f"a path over {_MAX_PATH_BYTES} bytes or a name over {_MAX_NAME_BYTES}" if too_long else ""
