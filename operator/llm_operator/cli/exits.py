"""Exit codes that pipelines branch on."""

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended."""

    REACHED = 0
    USAGE = 1
    ABORTED = 2
    TIMED_OUT = 3
    SUPERSEDED = 4
    NEEDS_APPROVAL = 5
    NEEDS_CAPACITY = 6
    REJECTED = 7


class CliError(Exception):
    """A command cannot go on; the message says why and what to do."""

    def __init__(self, message: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(message)
        self.code = code


class NoAnswerError(CliError):
    """The API server has not answered as it should; it may when it is asked again."""
