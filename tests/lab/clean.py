"""Removes a lab; every part of it works alone, whatever an interrupted start or end left."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

from tests.lab import cgroups, shared
from tests.lab.procs import Process, marked
from tests.lab.state import State


def outer_process(state: State) -> Process | None:
    """Return the outermost process of the lab, alive or not."""
    with suppress(OSError, ValueError):
        return Process(**json.loads(state.process.read_text()))
    return None


def clean(state: State) -> list[str]:
    """End and remove what is there, and say what that was; keys and the last logs stay."""
    removed = []
    outer = outer_process(state)
    if outer is not None and outer.alive:
        outer.kill()  # and with it everything in its namespaces
        removed.append("the cluster")
    strays = marked(state)  # what runs through `exec`, and what a start that was killed has begun
    for process in strays:
        process.kill()
    if strays and not removed:
        removed.append("processes of an interrupted lab")
    if state.leftovers.exists():
        cgroups.remove([Path(group) for group in json.loads(state.leftovers.read_text())])
        shared.undo_if_last(patience_s=5 if removed else 0)
        removed.append("control groups")
    _remove_files(state)
    return removed


def _remove_files(state: State) -> None:
    if state.logs.exists():
        shutil.rmtree(state.last_logs, ignore_errors=True)
        state.logs.rename(state.last_logs)
    for folder in (state.disk, state.stopped, state.running, state.config, state.volatile):
        if folder.exists():
            shutil.rmtree(folder)
    for file in (state.process, state.events, state.settings, state.s3_credentials, state.leftovers):
        file.unlink(missing_ok=True)
