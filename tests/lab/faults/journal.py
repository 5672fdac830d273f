"""Outcomes on disk, one a line, so that a long sweep can be done in parts and nothing is lost when one is broken off."""

import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

from tests.lab.faults.plan import Plan
from tests.lab.faults.runs import Outcome


def append(journal: Path, outcome: Outcome, commit: str) -> None:
    """Note an outcome."""
    line = json.dumps({**asdict(outcome), "id": outcome.plan.id, "commit": commit})
    with journal.open("a") as file:
        file.write(line + "\n")


def load(journal: Path) -> list[Outcome]:
    """Return the outcomes noted; of a plan that was carried out more than once, the last."""
    return list({each.plan.id: each for each in _noted(journal)}.values())


def _noted(journal: Path) -> Iterator[Outcome]:
    known = {each.name for each in fields(Outcome)}
    for line in journal.read_text().splitlines():
        noted = json.loads(line)
        yield Outcome(**{**{name: noted[name] for name in known}, "plan": Plan.load(noted["plan"]), "commit": noted["commit"]})
