"""``pii``: personal data in a text, taken out of it, blocked or reported."""

from llm_sidecar.bundle import BundleError, PiiStage
from llm_sidecar.redact.entities import ENTITIES
from llm_sidecar.stages.finding import Finding, own_patterns


def compile(spec: PiiStage, field: str) -> Finding:  # noqa: A001  # every stage's is called so
    """Return the stage. Own patterns come first: who writes one for what a built-in one would find wants that name for it."""
    own = own_patterns(spec.patterns, f"{field}.patterns")
    built_in = [wanted for name, several in ENTITIES.items() if name in spec.entities for wanted in several]
    taken = next((index for index, pattern in enumerate(spec.patterns) if pattern.name in ENTITIES), None)
    if taken is not None:
        raise BundleError(f"{field}.patterns[{taken}].name", f"{spec.patterns[taken].name} is the name of a built-in entity")
    return Finding([*own, *built_in], spec.action, field)
