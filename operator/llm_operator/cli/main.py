"""The commands of `kubectl llm`, with the flags kubectl users know."""

import json
import re
import sys
from typing import Any

import click

from llm_operator import __version__
from llm_operator.cli.actions import VERBS, wait
from llm_operator.cli.command import on_cluster
from llm_operator.cli.exits import CliError, Exit
from llm_operator.cli.kube import ForbiddenError, Kube, NotFoundError
from llm_operator.cli.offline import pipeline, prompt
from llm_operator.cli.speaking import plain

_SHORT = re.compile(r"-[a-z]=")
"""kubectl takes -o=json, click would take the sign for a part of the value."""

PROFILES = "llm-operator-profiles"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kubectl-llm")
def cli() -> None:
    """Ask for verbs on LLMDeployments, see where they stand, and try prompts and pipelines out without a cluster."""


@cli.command()
@click.argument("name")
@click.option("-w", "--watch", is_flag=True, help="Show what changes until Ctrl-C.")
@on_cluster
def status(kube: Kube, name: str, *, watch: bool, is_json: bool) -> Exit:
    """Say where NAME stands: revisions, rollout, conditions, references and the answers to verbs."""
    from llm_operator.cli import show  # noqa: PLC0415  # only what a command needs is imported

    def look() -> dict[str, Any]:
        return kube.deployment(plain(name))

    if is_json:
        show.as_json(look, watch=watch)
    elif watch:
        show.watch(look)
    else:
        show.status(look())
    return Exit.REACHED


@cli.command()
@click.argument("name")
@on_cluster
def explain(kube: Kube, name: str, *, is_json: bool) -> Exit:
    """Say why NAME is where it is, what it waits for, and what can be done about it."""
    from llm_operator.cli import show  # noqa: PLC0415  # same
    from llm_operator.cli.explain import explain as explained  # noqa: PLC0415  # same

    found = explained(kube.deployment(plain(name)))
    if is_json:
        words = {"state": found.state, "because": found.because, "waitsFor": found.waits_for, "toDo": found.to_do}
        click.echo(json.dumps(words))
    else:
        show.explanation(plain(name), found)
    return Exit.REACHED


@cli.command()
@click.argument("name")
@on_cluster
def history(kube: Kube, name: str, *, is_json: bool) -> Exit:
    """Say what the last rollouts of NAME did, the oldest first."""
    lines = kube.deployment(plain(name)).get("status", {}).get("history", [])
    if is_json:
        click.echo(json.dumps({"history": lines}))
    else:
        from llm_operator.cli import show  # noqa: PLC0415  # same

        show.history(lines)
    return Exit.REACHED


@cli.command()
@click.argument("name")
@click.option("-f", "--filename", "files", multiple=True, required=True, help="File with the manifest, and others; - is standard input.")
@on_cluster
def diff(kube: Kube, name: str, files: tuple[str, ...], *, is_json: bool) -> Exit:
    """Say what the manifest of NAME in the files would change, whether that needs new pods, and how it would be let in.

    Nothing is written. A prompt that is referred to is taken from the files, or else from the cluster.
    """
    from llm_operator.cli import comparing, show  # noqa: PLC0415  # same

    found = comparing.diff(kube, plain(name), files)
    if is_json:
        changes = [{"field": each.field, "before": each.before, "after": each.after} for each in found.changes]
        click.echo(json.dumps({"diffClass": found.diff_class, "road": found.road, "changes": changes}))
    else:
        show.diff(found)
    return Exit.REACHED


@cli.command()
@click.option(
    "--operator-namespace", envvar="LLM_OPERATOR_NAMESPACE", default="", help="Namespace of the operator; else -n, then llm-system."
)
@on_cluster
def profiles(kube: Kube, operator_namespace: str, *, is_json: bool) -> Exit:
    """List the engine and accelerator profiles that `spec.engine.profile` and `spec.accelerator.profile` may name."""
    import yaml  # noqa: PLC0415  # same

    offered = yaml.safe_load(_profiles(kube, operator_namespace)["data"]["profiles.yaml"])
    if is_json:
        click.echo(json.dumps(offered))
    else:
        from llm_operator.cli import show  # noqa: PLC0415  # same

        show.profiles(offered)
    return Exit.REACHED


for command in (*VERBS, wait):
    cli.add_command(command)
cli.add_command(prompt)
cli.add_command(pipeline)


def _profiles(kube: Kube, namespace: str) -> dict[str, Any]:
    """Return the ConfigMap with the profiles, from the first place it can be read in."""
    for place in [namespace] if namespace else ["", "llm-system"]:
        try:
            return kube.config_map(PROFILES, place)
        except (ForbiddenError, NotFoundError):
            continue
    raise CliError(f"there is no ConfigMap {PROFILES} to read; name the operator's namespace with --operator-namespace")


def main() -> None:
    """Run a command; a wrong use ends with the exit code of the contract, not click's."""
    arguments = [word for each in sys.argv[1:] for word in (each.split("=", 1) if _SHORT.match(each) else [each])]
    try:
        cli.main(arguments, prog_name="kubectl-llm", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(Exit.USAGE)
    except click.Abort:
        sys.exit(Exit.USAGE)
