"""``blocklist``: what must not be said, as texts and patterns."""

from llm_sidecar.bundle import BlocklistStage, BundleError
from llm_sidecar.redact.finder import Wanted
from llm_sidecar.redact.pattern import PatternError, any_of, literal
from llm_sidecar.stages.finding import Finding, own_patterns

TERM = "blocked"
"""What a term is reported as and replaced by: its name would say it."""

_BATCH = 16  # texts that are tried as one pattern


def compile(spec: BlocklistStage, field: str) -> Finding:  # noqa: A001  # every stage's is called so
    """Return the stage."""
    terms = []
    for index, term in enumerate(spec.terms):
        try:
            terms.append(literal(term))
        except PatternError as error:
            raise BundleError(f"{field}.terms[{index}]", str(error)) from error
    terms.sort(key=lambda term: -term.longest)  # of `fox` and `foxtrot` the longer one is meant where it is written
    batches = [any_of(terms[at : at + _BATCH]) for at in range(0, len(terms), _BATCH)]
    wanted = [Wanted(TERM, batch, ignore_case=spec.ignore_case) for batch in batches]
    return Finding([*wanted, *own_patterns(spec.patterns, f"{field}.patterns", ignore_case=spec.ignore_case)], spec.action, field)
