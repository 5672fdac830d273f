"""Errors only a user can repair: they stop a change until the spec, or the thing it waits for, changes."""

from llm_operator.core.reasons import Reason

UNRESOLVED = frozenset({Reason.ACCELERATOR_PROFILE_UNKNOWN, Reason.ENGINE_PROFILE_UNKNOWN, Reason.GATE_UNKNOWN, Reason.PROMPT_MISSING})
"""Reasons of a reference that stands for nothing."""


class UserError(Exception):
    """Something asked for that cannot work; ``message`` names the field, the value, what is valid and the way out."""

    def __init__(self, reason: str, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.reason = reason
        self.field = field
        self.message = message

    @property
    def sentence(self) -> str:
        """Return the message with its field in front, as conditions show it."""
        return str(self)
