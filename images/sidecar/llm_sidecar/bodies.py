"""The bytes of all bodies that are being served, together: no more than the container has memory for, however many come at once."""

from llm_sidecar.errors import Refusal

COPIES = 4
"""What a body takes at most, in bodies: as it came, decoded while stages or a prompt change it, and as it goes on to the engine."""

PROGRAM_BYTES = 64 * 1024 * 1024
"""What the sidecar takes by itself, connections included."""

_SHARE = 2
"""The other half of the memory is for bodies that wait for an engine: as much of it as the operator lets ``limits.hold.bytes`` be."""

_RETRY_AFTER_S = 2


class Bodies:
    """Counts the bytes of bodies that have come or are said to come. One that waits in the hold is counted there instead.

    Whoever has taken room gives it back exactly once. Everything happens between two turns of the loop, so that a compare is enough.
    """

    __slots__ = ("bytes_taken", "most_bytes")

    def __init__(self, memory_bytes: int) -> None:
        self.most_bytes = max(0, memory_bytes // _SHARE - PROGRAM_BYTES) // COPIES
        self.bytes_taken = 0

    def allow(self, body_bytes: int) -> None:
        """Have room for a single body of this size, whatever the memory is. That stays so: one that was allowed once may still wait."""
        self.most_bytes = max(self.most_bytes, body_bytes)

    def has_room(self, size: int) -> bool:
        """Return whether so many bytes fit now."""
        return self.bytes_taken + size <= self.most_bytes

    def take(self, size: int) -> None:
        """Take room for so many bytes, or raise Refusal 429."""
        taken = self.bytes_taken + size
        if taken > self.most_bytes:
            raise Refusal(
                429,
                "bodies_full",
                f"this server works on bodies of {self.bytes_taken} bytes, and has memory for {self.most_bytes}: no room for {size} more",
                retry_after_s=_RETRY_AFTER_S,
            )
        self.bytes_taken = taken

    def give_back(self, size: int) -> None:
        """Give room back that was taken."""
        self.bytes_taken -= size
