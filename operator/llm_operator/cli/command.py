"""What all commands share: their flags, and how they turn what happened into output and an exit code."""

import functools
import json
import sys
from collections.abc import Callable
from typing import Any

import click

from llm_operator.cli.exits import CliError, Exit
from llm_operator.cli.kube import Kube

_CLUSTER_FLAGS = (
    ("--kubeconfig", "Kubeconfig file to use."),
    ("--context", "Context of the kubeconfig to use."),
    ("--cluster", "Cluster of the kubeconfig to use."),
    ("--user", "User of the kubeconfig to use."),
    ("--as", "User to impersonate."),
)

Command = Callable[..., Exit]


def _parameter(flag: str) -> str:
    return f"kube_{flag.lstrip('-')}"


OUTPUT = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the output.")
CLUSTER = (
    *(click.option(flag, _parameter(flag), help=words) for flag, words in _CLUSTER_FLAGS),
    click.option("-n", "--namespace", help="Namespace; by default the one of the context."),
)


def on_cluster(function: Command) -> Callable[..., None]:
    """Make a command of a function that works on a cluster: it has kubectl's flags, and gets what speaks to it."""

    @functools.wraps(function)
    def run(*, namespace: str | None, **options: Any) -> Exit:
        given = {flag: options.pop(_parameter(flag)) for flag, _ in _CLUSTER_FLAGS} | {"--namespace": namespace}
        return function(Kube(tuple(f"{flag}={value}" for flag, value in given.items() if value)), **options)

    named: Any = offline(run)
    for option in CLUSTER:
        named = option(named)
    wrapped: Callable[..., None] = named
    return wrapped


def offline(function: Command) -> Callable[..., None]:
    """Make a command of a function that says how it ended."""

    @functools.wraps(function)
    def run(*, output: str, **options: Any) -> None:
        try:
            code = function(is_json=output == "json", **options)
        except CliError as error:
            click.echo(f"error: {error}", err=True)
            if output == "json":
                click.echo(json.dumps({"error": str(error), "exitCode": error.code}))
            code = error.code
        sys.exit(code)

    wrapped: Callable[..., None] = OUTPUT(run)
    return wrapped
