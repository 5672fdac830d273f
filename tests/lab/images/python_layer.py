"""The application layer of a Python image: locked packages and the project's own sources, compiled."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.images import places, uv
from tests.lab.images.archive import Entry, tree
from tests.lab.images.rootfs import Rootfs


@contextmanager
def application(base: Rootfs, at: str, requirements: str, sources: Iterable[tuple[Path, str]]) -> Iterator[list[Entry]]:
    """Give the entries of an application that lies at ``at``; the files behind them live as long as the context."""
    with tempfile.TemporaryDirectory(dir=places.scratch()) as work:
        app = Path(work) / "app"
        app.mkdir()
        if requirements.strip():
            locked = Path(work) / "requirements.txt"
            locked.write_text(requirements)
            uv.install(app, [locked])
        for source, place in sources:
            target = app / place
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, target)
        base.compile(app, at)
        yield list(tree(app, at, skip=_unused))


def _unused(path: str) -> bool:
    # Console scripts carry the path of this machine's Python; the lock file is uv's.
    return path in {"bin", ".lock"}
