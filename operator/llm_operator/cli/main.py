"""The commands of `kubectl llm`, with the flags kubectl users know."""

import json
import re
import sys
from collections.abc import Callable
from typing import Any

import click

from llm_operator import __version__
from llm_operator.cli.command import on_cluster
from llm_operator.cli.exits import CliError, Exit
from llm_operator.cli.kube import Kube, NotFoundError
from llm_operator.cli.offline import pipeline, prompt

_SHORT = re.compile(r"-[a-z]=")
"""kubectl takes -o=json, click would take the sign for a part of the value."""

PROFILES = "llm-operator-profiles"
_command = on_cluster(lambda flags: Kube(flags))  # noqa: PLW0108  # looked up when it is called: tests put another one in its place


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kubectl-llm")
def cli() -> None:
    """Ask for verbs on LLMDeployments, see where they stand, and try prompts and pipelines out without a cluster."""


@cli.command()
@click.argument("name")
@click.option("--wait", is_flag=True, help="Wait until what comes of it serves.")
@click.option("--timeout", default="10m", show_default=True, help="How long to wait, for the answer and with --wait for the revision.")
@click.option("--revision", default="", help="Revision that must be the latest one; by default the one there is now.")
@click.option("--id", "identity", default="", help="Id to ask under; the same id is never done twice. By default a new one.")
@_command
def refresh(kube: Kube, name: str, timeout: str, revision: str, identity: str, *, wait: bool, is_json: bool) -> Exit:
    """Resolve every reference of NAME anew and render its pods anew.

    What an engine was made with is kept until somebody asks: an edited profile, a moved model or a newer operator change nothing by
    themselves. Where something differs, new pods take over from the old ones; otherwise the answer is that there is nothing to refresh.
    """
    from llm_operator.cli import refresh as verb  # noqa: PLC0415  # only what a command needs is imported
    from llm_operator.cli.waiting import Deadline, seconds  # noqa: PLC0415  # same

    deadline = Deadline(seconds(timeout))
    asked = verb.refresh(kube, _plain(name), identity or verb.new_id(), revision, deadline, _sayer(), wait=wait)
    if is_json:
        click.echo(json.dumps({**asked.answer, "exitCode": asked.code, "state": asked.message}))
    else:
        click.echo(f"{asked.answer['outcome']}: {asked.answer['message']}")
        if asked.message != asked.answer["message"]:
            click.echo(asked.message)
    return asked.code


@cli.command()
@click.argument("name")
@_command
def status(kube: Kube, name: str, *, is_json: bool) -> Exit:
    """Say where NAME stands: revisions, conditions, references and the answers to verbs."""
    live = kube.deployment(_plain(name))
    if is_json:
        metadata = {key: live["metadata"][key] for key in ("name", "namespace", "generation")}
        click.echo(json.dumps({**metadata, "status": live.get("status", {})}))
    else:
        from llm_operator.cli import show  # noqa: PLC0415  # same

        show.status(live)
    return Exit.REACHED


@cli.command()
@click.option(
    "--operator-namespace", envvar="LLM_OPERATOR_NAMESPACE", default="", help="Namespace of the operator; else -n, then llm-system."
)
@_command
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


cli.add_command(prompt)
cli.add_command(pipeline)


def _profiles(kube: Kube, namespace: str) -> dict[str, Any]:
    """Return the ConfigMap with the profiles, from the first place it can be read in."""
    for place in [namespace] if namespace else ["", "llm-system"]:
        try:
            return kube.config_map(PROFILES, place)
        except NotFoundError:
            continue
    raise CliError(f"there is no ConfigMap {PROFILES} to read; name the operator's namespace with --operator-namespace")


def _plain(name: str) -> str:
    """Return a name without the kind that `kubectl get -o name` puts in front."""
    return name.rpartition("/")[2]


def _sayer() -> Callable[[str], None]:
    """Return what tells of progress, on standard error and each thing once."""
    said: list[str] = []

    def say(words: str) -> None:
        if [words] != said[-1:]:
            said.append(words)
            click.echo(words, err=True)

    return say


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
