"""What references of a spec stand for: resolved once per (field, requested value), then carried from status to status."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MODEL_FIELD = "spec.model.source"
ENGINE_FIELD = "spec.engine.profile"
ACCELERATOR_FIELD = "spec.accelerator.profile"
PROMPT_FIELD = "spec.prompt.ref"


@dataclass(frozen=True)
class Resolution:
    """One resolved reference."""

    field: str
    requested: str
    digest: str
    bytes: int | None = None
    files: int | None = None
    checked_at: str | None = None
    available: str | None = None

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> "Resolution":
        """Read an entry of ``status.resolutions``."""
        optional = (entry.get(name) for name in ("bytes", "files", "checkedAt", "available"))
        return cls(entry["field"], entry["requested"], entry["digest"], *optional)

    def entry(self) -> dict[str, Any]:
        """Return the entry of ``status.resolutions``."""
        return {**self.pinned(), **_present(checkedAt=self.checked_at, available=self.available)}

    def pinned(self) -> dict[str, Any]:
        """Return what is fixed until the reference is resolved again, as it is stored with a revision."""
        return _present(field=self.field, requested=self.requested, digest=self.digest, bytes=self.bytes, files=self.files)


@dataclass
class References:
    """The resolutions of one look: what the last one left, and what this one keeps or adds.

    ``outdated`` names profiles that were edited since, ``newer_model`` and ``newer_prompt`` say so of those; none of them moves anything.
    ``unchecked`` is why it is not known whether the model is still what its source holds, as reason and sentence.
    """

    previous: tuple[Resolution, ...]
    current: dict[str, Resolution] = field(default_factory=dict)
    outdated: list[str] = field(default_factory=list)
    newer_model: str = ""
    newer_prompt: str = ""
    unchecked: tuple[str, str] | None = None

    @classmethod
    def of(cls, entries: Iterable[Mapping[str, Any]]) -> "References":
        """Start from what the last look left."""
        return cls(tuple(Resolution.read(each) for each in entries))

    def carried(self, field_path: str, requested: str) -> Resolution | None:
        """Return what a reference was resolved to before, if the same was requested."""
        return next((each for each in self.previous if (each.field, each.requested) == (field_path, requested)), None)

    def keep(self, resolution: Resolution) -> None:
        """Carry a resolution into the new status."""
        self.current[resolution.field] = resolution

    def resolve(self, field_path: str, requested: str, digest: str) -> None:
        """Add a resolution made in this look."""
        self.keep(Resolution(field_path, requested, digest))

    def entries(self) -> list[dict[str, Any]]:
        """Return the resolutions of this look as status lists them."""
        return [self.current[name].entry() for name in sorted(self.current)]

    def pinned(self) -> list[dict[str, Any]]:
        """Return the resolutions of this look as they are stored with a revision."""
        return [self.current[name].pinned() for name in sorted(self.current)]

    def all_entries(self) -> list[dict[str, Any]]:
        """Return the resolutions of this look, and those of the last one for what this one did not come to."""
        known = {each.field: each for each in self.previous} | self.current
        return [known[name].entry() for name in sorted(known)]


def _present(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
