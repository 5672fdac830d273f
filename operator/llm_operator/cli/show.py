"""What people see: a status as tables, an explanation as a tree. rich is imported when there is something to show."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from llm_operator.cli import waiting
from llm_operator.cli.explain import UNSEEN
from llm_operator.cli.follow import is_current

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table

    from llm_operator.cli.diff import Diff
    from llm_operator.cli.explain import Explanation

_WATCH_S = 1.0
_WIDE = 10_000


def status(live: Mapping[str, Any]) -> None:
    """Print where an LLMDeployment stands."""
    _console().print(_status(live))


def watch(look: Callable[[], Mapping[str, Any]]) -> None:
    """Show where it stands until Ctrl-C: in its place on a screen, one below the other in a file or a pipe."""
    from rich.live import Live  # noqa: PLC0415  # rich takes longer to import than the rest of the command

    console = _console()
    with contextlib.suppress(KeyboardInterrupt):
        if not console.is_terminal or console.is_dumb_terminal:
            for live in _changes(look):
                console.print(_status(live), "")
        with Live(console=console, auto_refresh=False) as screen:
            for live in _changes(look):
                screen.update(_status(live), refresh=True)


def as_json(look: Callable[[], Mapping[str, Any]], *, watch: bool) -> None:
    """Print where it stands as an object on a line; with ``watch`` one for each change, until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        for live in _changes(look):
            click.echo(_object(live))
            if not watch:
                break


def _changes(look: Callable[[], Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield it as it is, and whenever it is not what it was."""
    said = ""
    while True:
        live = look()
        if (now := _object(live)) != said:
            said = now
            yield live
        waiting.pause(_WATCH_S)


def _object(live: Mapping[str, Any]) -> str:
    metadata = {key: live["metadata"][key] for key in ("name", "namespace", "generation")}
    return json.dumps({**metadata, "status": live.get("status", {})})


def _status(live: Mapping[str, Any]) -> "Group":
    from rich.console import Group  # noqa: PLC0415  # as above
    from rich.text import Text  # noqa: PLC0415  # as above

    told, metadata = live.get("status", {}), live["metadata"]
    head = Text(f"{metadata['namespace']}/{metadata['name']}", style="bold")
    if not told:
        return Group(head, Text(UNSEEN))
    parts: list[Any] = [head, Text(f"{told.get('phase', '')} ({told.get('reason', '')}): {told.get('message', '')}")]
    if not is_current(live):
        parts.append(Text("The spec is newer than what follows."))
    for each in filter(None, (_revisions(told), _rollout(told), _conditions(told), _resolutions(told), _actions(told))):
        parts += [Text(), each]
    if "table" in told:
        sent = told["table"]
        parts += [Text(), Text(f"Table {sent.get('generation')} is run by {sent.get('acked')} of {sent.get('of')} ready pods.")]
    return Group(*parts)


def explanation(name: str, found: "Explanation") -> None:
    """Print why a deployment is where it is."""
    from rich.text import Text  # noqa: PLC0415  # as above
    from rich.tree import Tree  # noqa: PLC0415  # as above

    tree = Tree(Text(f"{name}: {found.state}"))
    for head, sentences in (("because", found.because), ("waits for", found.waits_for), ("to do", found.to_do)):
        branch = tree.add(Text(head, style="bold")) if sentences else tree
        for sentence in sentences:
            branch.add(Text(sentence))
    _console().print(tree)


def history(lines: Sequence[Mapping[str, Any]]) -> None:
    """Print what rollouts did."""
    rows = [(each["at"], each["revision"], each["state"], str(each["step"]), f"{each['weight']}%", each["message"]) for each in lines]
    head = ("AT", "REVISION", "STATE", "STEP", "WEIGHT", "MESSAGE")
    _console().print(_table(head, rows) if rows else "There was no rollout by steps yet.")


def diff(found: "Diff") -> None:
    """Print what a manifest would change."""
    console = _console()
    console.print(f"{found.diff_class}: {found.road}", markup=False)
    if found.changes:
        console.print()
        console.print(
            _table(("FIELD", "BEFORE", "AFTER"), [(each.field, _value(each.before), _value(each.after)) for each in found.changes])
        )


def _value(value: Any) -> str:
    return "absent" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def profiles(offered: Mapping[str, Any]) -> None:
    """Print which profiles there are."""
    engines = [(name, each.get("version", ""), each.get("image", "")) for name, each in sorted(offered.get("engineProfiles", {}).items())]
    accelerators = [
        (name, each.get("resource", "none"), each.get("memory", ""), ", ".join(f"{k}={v}" for k, v in each.get("nodeSelector", {}).items()))
        for name, each in sorted(offered.get("acceleratorProfiles", {}).items())
    ]
    console = _console()
    console.print(_table(("ENGINE PROFILE", "VERSION", "IMAGE"), engines))
    console.print()
    console.print(_table(("ACCELERATOR PROFILE", "RESOURCE", "MEMORY", "NODES"), accelerators))


def _revisions(told: Mapping[str, Any]) -> "Table | None":
    rows = [
        (
            role,
            each.get("revision", ""),
            each.get("engine", ""),
            f"{each.get('ready', 0)}/{each.get('replicas', 0)}",
            each.get("diffClass", ""),
        )
        for role in ("stable", "canary")
        if (each := told.get(role))
    ]
    return _table(("ROLE", "REVISION", "ENGINE", "READY", "CHANGE"), rows) if rows else None


def _rollout(told: Mapping[str, Any]) -> "Table | None":
    each = told.get("rollout")
    if not each:
        return None
    row = (each["revision"], each["state"], str(each["step"]), f"{each['weight']}%", each["since"], each["message"])
    return _table(("ROLLOUT", "STATE", "STEP", "WEIGHT", "SINCE", "MESSAGE"), [row])


def _conditions(told: Mapping[str, Any]) -> "Table | None":
    rows = [(each["type"], each["status"], each["reason"], each["message"]) for each in told.get("conditions", [])]
    return _table(("CONDITION", "STATUS", "REASON", "MESSAGE"), rows) if rows else None


def _resolutions(told: Mapping[str, Any]) -> "Table | None":
    rows = [(each["field"], each["requested"], each["digest"][:19]) for each in told.get("resolutions", [])]
    return _table(("REFERENCE", "REQUESTED", "STANDS FOR"), rows) if rows else None


def _actions(told: Mapping[str, Any]) -> "Table | None":
    rows = [(each["at"], each.get("verb", ""), each["id"], each["outcome"], each["message"]) for each in told.get("actions", [])]
    return _table(("AT", "VERB", "ID", "OUTCOME", "MESSAGE"), rows) if rows else None


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> "Table":
    from rich.table import Table  # noqa: PLC0415  # as above
    from rich.text import Text  # noqa: PLC0415  # as above

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))  # text, not markup: messages may hold brackets
    return table


def _console() -> "Console":
    from rich.console import Console  # noqa: PLC0415  # as above

    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:  # who reads this line by line wants a row on a line
        console.width = _WIDE
    return console
