#!/usr/bin/env python3
"""Writes docs/reference/cli.md from the commands themselves, so that the page cannot say anything else."""

from collections.abc import Iterator
from pathlib import Path

import click

from llm_operator.cli.command import CLUSTER, OUTPUT
from llm_operator.cli.exits import Exit
from llm_operator.cli.main import cli

PAGE = Path(__file__).resolve().parents[1] / "docs/reference/cli.md"
_EXITS = {
    Exit.REACHED: "done, or the goal of `--wait` is reached",
    Exit.USAGE: "wrong use, or the API server or endpoint cannot be reached",
    Exit.ABORTED: "failed: it could not be done, or what came of it does not work, such as a test or an answer",
    Exit.TIMED_OUT: "`--timeout` is over",
    Exit.SUPERSEDED: "overtaken by a newer revision or verb",
    Exit.NEEDS_APPROVAL: "waits for an approval, or `--timeout` is over while it is paused",
    Exit.NEEDS_CAPACITY: "`--timeout` is over, and what is missing is room on a node",
    Exit.REJECTED: "rejected: the verb, such as for a revision that is not the latest; the manifest; or the request that was tried",
}


def page() -> str:
    """Return the page."""
    parts = ["# kubectl llm\n", "Generated from the commands. How to install it: [Use the command line](../how-to/cli.md).\n"]
    for name, command in _commands(cli):
        context = click.Context(command, info_name=f"kubectl llm {name}")
        words = "\n".join(line.strip() for line in (command.help or "").splitlines())
        parts += [f"## {name}\n", f"`{command.get_usage(context).removeprefix('Usage: ')}`\n", f"{words}\n"]
        own = [each for each in command.params if isinstance(each, click.Option) and each.name not in _shared()]
        parts += [_table(own)] if own else []
    shared = [each for each in cli.commands["status"].params if each.name in _shared()]
    parts += [
        "## Flags of every command\n",
        "Those that name a cluster or a namespace are none of `prompt` and `pipeline`.\n",
        _table(shared),
    ]
    parts += ["## Exit codes\n", "| code | meaning |\n|---|---|\n" + "\n".join(f"| {code} | {_EXITS[code]} |" for code in Exit) + "\n"]
    return "\n".join(parts)


def _commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def _shared() -> set[str | None]:
    @click.command()
    def none() -> None: ...

    for option in (*CLUSTER, OUTPUT):
        option(none)
    return {each.name for each in none.params}


def _table(options: list[click.Parameter] | list[click.Option]) -> str:
    rows = [
        f"| {', '.join(f'`{flag}`' for flag in each.opts)} | {_values(each)} | {each.help or ''} |"
        for each in options
        if isinstance(each, click.Option)
    ]
    return "| flag | value | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _values(option: click.Option) -> str:
    """Return what may be given, and what counts when nothing is."""
    choices = ", ".join(f"`{each}`" for each in option.type.choices) if isinstance(option.type, click.Choice) else ""
    if option.required:
        return f"{choices} required".strip()
    told = isinstance(option.default, str | int) and not option.is_flag and option.default != ""
    default = f"default `{option.default}`" if told else ""
    return "; ".join(each for each in (choices, default) if each)


if __name__ == "__main__":
    PAGE.write_text(page())
