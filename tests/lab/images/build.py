"""Builds what is missing or outdated, says what it does and how long it took."""

import fcntl
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.images.catalog import Target, targets
from tests.lab.say import say
from tests.lab.state import cache_dir


def image_path(name: str) -> Path:
    """Return where the image of this name lies once it is built."""
    return cache_dir() / "images" / f"{name}.tar"


def build(names: Iterable[str] = ()) -> list[Path]:
    """Build the named images, or all, where their inputs have changed; return their files."""
    known = targets()
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise SystemExit(f"no such image: {', '.join(unknown)}; there are {', '.join(known)}")
    with _alone():
        return [_ensure(known[name]) for name in (list(names) or known)]


def is_current(target: Target) -> bool:
    """Whether the image file was made from what lies in the repository now."""
    stamp = _stamp(target)
    return image_path(target.name).exists() and stamp.exists() and json.loads(stamp.read_text()) == {"key": target.key(), "ref": target.ref}


@contextmanager
def _alone() -> Iterator[None]:
    """Let one build at a time run in this cache: two would write the same files."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _ensure(target: Target) -> Path:
    out = image_path(target.name)
    if is_current(target):
        say(f"image {target.ref}: up to date")
        return out
    say(f"image {target.ref}: building")
    started = time.monotonic()
    key = target.key()
    _stamp(target).unlink(missing_ok=True)
    target.build(out)
    _stamp(target).write_text(json.dumps({"key": key, "ref": target.ref}))
    say(f"image {target.ref}: built in {time.monotonic() - started:.1f} s, {out.stat().st_size / 1e6:.0f} MB")
    return out


def _stamp(target: Target) -> Path:
    return image_path(target.name).with_suffix(".json")
