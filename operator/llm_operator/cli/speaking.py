"""How commands take names, and tell of progress."""

from collections.abc import Callable

import click


def plain(name: str) -> str:
    """Return a name without the kind that `kubectl get -o name` puts in front."""
    return name.rpartition("/")[2]


def sayer() -> Callable[[str], None]:
    """Return what tells of progress, on standard error and each thing once."""
    said: list[str] = []

    def say(words: str) -> None:
        if [words] != said[-1:]:
            said.append(words)
            click.echo(words, err=True)

    return say
