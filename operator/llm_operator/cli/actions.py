"""The commands that ask for a verb, and the one that waits for what came of it."""

import json

import click

from llm_operator.cli import follow
from llm_operator.cli.command import on_cluster
from llm_operator.cli.exits import Exit
from llm_operator.cli.kube import Kube
from llm_operator.cli.speaking import plain, sayer
from llm_operator.cli.verbs import Verb, ask, new_id, reach
from llm_operator.cli.waiting import Deadline, seconds

_TIMEOUT = click.option("--timeout", default="10m", show_default=True, help="How long to wait, for the answer and for what comes of it.")
_REVISION = click.option("--revision", default="", help="Revision that must be the latest one; by default the one there is now.")
_ID = click.option("--id", "identity", default="", help="Id to ask under; the same id is never done twice. By default a new one.")


def _verb(verb: str, words: str, goal: follow.Goal | None = None, goal_in_words: str = "") -> click.Command:
    """Return the command of a verb; with ``--wait`` it is followed until its goal is reached."""

    def run(kube: Kube, name: str, timeout: str, revision: str, identity: str, *, is_json: bool, wait: bool = False) -> Exit:
        wanted = Verb(verb, identity or new_id(), revision, goal if wait else None)
        say = sayer()
        deadline = Deadline(seconds(timeout), say)
        asked = ask(kube.within(deadline.left_s), plain(name), wanted, deadline, say)
        if is_json:
            click.echo(json.dumps({**asked.answer, "exitCode": asked.code, "state": asked.message}))
        else:
            click.echo(f"{asked.answer['outcome']}: {asked.answer['message']}")
            if asked.message != asked.answer["message"]:
                click.echo(asked.message)
        return asked.code

    command = _REVISION(_ID(_TIMEOUT(on_cluster(run))))
    if goal is not None:
        command = click.option("--wait", is_flag=True, help=f"Wait until {goal_in_words}.")(command)
    return click.command(verb, help=words)(click.argument("name")(command))


VERBS = (
    _verb(
        "refresh",
        """Resolve every reference of NAME anew and render its pods anew.

        What an engine was made with is kept until somebody asks: an edited profile, a moved model or a newer operator change nothing by
        themselves. Where something differs, new pods take over from the old ones; otherwise the answer is that there is nothing to refresh.
        """,
        follow.promoted,
        "what comes of it serves",
    ),
    _verb(
        "approve",
        """Let the revision that waits for an approval go on.

        The same can be said in the spec, with `rollout.approve.revision`.
        """,
        follow.promoted,
        "the revision is stable, or the next approval is needed",
    ),
    _verb(
        "promote",
        """Give the revision on its way every request, whatever steps are left.""",
        follow.promoted,
        "it is stable",
    ),
    _verb("pause", """Keep the share of requests that the revision on its way has."""),
    _verb("resume", """Begin the step again at which the rollout of NAME was paused.""", follow.promoted, "the revision is stable"),
    _verb(
        "abort",
        """Take all requests back from the revision on its way.

        It comes before everything else. The revision is remembered, and not served again until `retry` asks for it.
        """,
        follow.withdrawn,
        "no pod gives it a request",
    ),
    _verb("retry", """Let a revision that was aborted in again, from the first step.""", follow.promoted, "it is stable"),
    _verb(
        "rollback",
        """Go back to the revision that was stable before the last rollout, without steps.

        What it leaves counts as aborted: apply the spec that is wanted, so that the two agree again.
        """,
        follow.rolled_back,
        "the revision before is stable",
    ),
)


@click.command()
@click.argument("name")
@click.option("--for", "goal", type=click.Choice(["resolved", "promoted"]), default="promoted", show_default=True, help="What to wait for.")
@click.option("--revision", default="", help="Revision to wait for; by default the one that the spec of now becomes.")
@_TIMEOUT
@on_cluster
def wait(kube: Kube, name: str, goal: str, revision: str, timeout: str, *, is_json: bool) -> Exit:
    """Wait until NAME has come as far as is asked for, and say by the exit code how that ended.

    With `--for=resolved` it is known which revision the spec has become, and that revision is what is printed. With `--for=promoted` that
    revision, or the one named, is stable and serves. It ends at once where nobody but a person can go on: with 5 at an approval.
    """
    say, name = sayer(), plain(name)
    deadline = Deadline(seconds(timeout), say)
    kube = kube.within(deadline.left_s)
    code, message = (Exit.REACHED, revision) if revision else reach(kube, name, "", follow.resolved, deadline, say)
    if code == Exit.REACHED:
        revision = message
        if goal == "promoted":
            code, message = reach(kube, name, revision, follow.promoted, deadline, say)
    click.echo(json.dumps({"revision": revision, "exitCode": code, "state": message}) if is_json else message)
    return code
