"""``blocklist``: what must not be said, as texts and patterns."""

from llm_sidecar.bundle import BlocklistStage, BundleError
from llm_sidecar.redact.finder import Wanted
from llm_sidecar.redact.pattern import PatternError, any_of, literal
from llm_sidecar.stages.finding import Finding, own_patterns

TERM = "blocked"
"""What a term is reported as and replaced by: its name would say it."""


def compile(spec: BlocklistStage, field: str) -> Finding:  # noqa: A001  # every stage's is called so
    """Return the stage."""
    terms = []
    for index, term in enumerate(spec.terms):
        try:
            terms.append(literal(term))
        except PatternError as error:
            raise BundleError(f"{field}.terms[{index}]", str(error)) from error
    wanted = own_patterns(spec.patterns, f"{field}.patterns", ignore_case=spec.ignore_case)
    if terms:
        wanted.insert(0, Wanted(TERM, any_of(terms), ignore_case=spec.ignore_case))
    return Finding(wanted, spec.action, field)
