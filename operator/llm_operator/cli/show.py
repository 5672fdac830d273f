"""What people see: a status as tables. rich is imported when there is something to show."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

_UNSEEN = "No operator has looked at it yet. It serves only the namespaces its chart was given: `helm get notes` of its release names them."


def status(live: Mapping[str, Any]) -> None:
    """Print where an LLMDeployment stands."""
    from rich.console import Console  # noqa: PLC0415  # rich takes longer to import than the rest of the command

    console = Console(highlight=False, soft_wrap=True)
    told = live.get("status", {})
    metadata = live["metadata"]
    console.print(f"{metadata['namespace']}/{metadata['name']}", style="bold", markup=False)
    if not told:
        console.print(_UNSEEN, markup=False)
        return
    console.print(f"{told.get('phase', '')} ({told.get('reason', '')}): {told.get('message', '')}", markup=False)
    if told.get("observedGeneration") != metadata.get("generation"):
        console.print("The spec is newer than what follows.", markup=False)
    tables = (_revisions(told), _conditions(told), _resolutions(told), _actions(told))
    for each in filter(None, tables):
        console.print()
        console.print(each)
    if "table" in told:
        sent = told["table"]
        console.print(f"\nTable {sent.get('generation')} is run by {sent.get('acked')} of {sent.get('of')} ready pods.", markup=False)


def profiles(offered: Mapping[str, Any]) -> None:
    """Print which profiles there are."""
    from rich.console import Console  # noqa: PLC0415  # as above

    engines = [(name, each.get("version", ""), each.get("image", "")) for name, each in sorted(offered.get("engineProfiles", {}).items())]
    accelerators = [
        (name, each.get("resource", "none"), each.get("memory", ""), ", ".join(f"{k}={v}" for k, v in each.get("nodeSelector", {}).items()))
        for name, each in sorted(offered.get("acceleratorProfiles", {}).items())
    ]
    console = Console(highlight=False, soft_wrap=True)
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
