"""What exact redaction of a stream costs and keeps back: a chunk of four characters at a time, over this project's own documentation.

Beside it the naive way: one search per chunk that takes every complete match at once. It is what breaks (docs/explanation/redaction.md).
"""

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from bench.record import ROOT, Bound, record
from llm_sidecar.bundle import PiiStage
from llm_sidecar.redact.entities import ENTITIES
from llm_sidecar.redact.finder import Finder
from llm_sidecar.redact.redaction import Redaction
from llm_sidecar.stages import pii

CHUNK = 4
ROUNDS = 5
ADVERSARIAL = ("x@" + "a." * 2_000, "4111 1111 " * 400, "a" * 4_000, "1:" * 2_000, "+1 ((" * 800, "AB12 " + "ab " * 1_300)
BOUNDS = {"feed_ratio_naive": Bound(floor=2.0, aim=1.5), "held_mean": Bound(floor=32, aim=6)}


class Fed(Protocol):
    """What takes text in pieces."""

    def feed(self, text: str) -> str:
        """Take a piece."""


class Naive:
    """Takes what is complete, keeps back what has begun; wrong at the seams."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._kept = b""

    def feed(self, text: str) -> str:
        """Return what may go on."""
        data = self._kept + text.encode()
        match = self._finder.first(data, 0, len(data))
        end = match.end if match is not None else self._finder.settled(data, 0)
        self._kept = data[end:]
        return (data[:end] if match is None else data[: match.start] + match.name.encode()).decode()


def main() -> int:
    """Measure, record and print."""
    prose = "".join(path.read_text() for path in sorted((ROOT / "docs/explanation").glob("*.md")))[:60_000]
    began = time.perf_counter()
    stage = pii.compile(PiiStage(entities=("email", "phone", "iban", "card", "ssn", "ip")), "pii")
    compile_s = time.perf_counter() - began
    finder = Finder([wanted for several in ENTITIES.values() for wanted in several])
    exact: list[float] = []
    naive: list[float] = []
    for _ in range(ROUNDS):  # by turns, so that both meet the same machine
        naive.append(feed_us(lambda: Naive(finder), prose))
        exact.append(feed_us(lambda: Redaction(finder, "Redact"), prose))
    held = kept_back(Redaction(finder, "Redact"), prose)
    figures = {
        "feed_us": statistics.median(exact),
        "feed_us_naive": statistics.median(naive),
        "feed_ratio_naive": statistics.median(each / other for each, other in zip(exact, naive, strict=True)),
        "feed_us_adversarial": max(feed_us(lambda: Redaction(finder, "Redact"), text) for text in ADVERSARIAL),
        "held_mean": statistics.mean(held),
        "held_max": max(held),
        "held_max_adversarial": max(max(kept_back(Redaction(finder, "Redact"), text)) for text in ADVERSARIAL),
        "judge_1kb_us": min(timed(lambda: stage.judge(prose[:1_024])) for _ in range(50)),
        "judge_16kb_us": min(timed(lambda: stage.judge(prose[:16_384])) for _ in range(20)),
        "compile_ms": compile_s * 1_000,
    }
    rounded = {name: round(value, 2) for name, value in figures.items()}
    return record("redactor", rounded, BOUNDS, {"naive": "one search a chunk, complete matches taken at once"}, chunk=CHUNK)


def chunks(text: str) -> Iterable[str]:
    """Return a text in pieces."""
    return (text[at : at + CHUNK] for at in range(0, len(text), CHUNK))


def feed_us(begin: Callable[[], Fed], text: str) -> float:
    """Return the mean time of a chunk."""
    fed, pieces = begin(), list(chunks(text))
    began = time.process_time()
    for piece in pieces:
        fed.feed(piece)
    return (time.process_time() - began) / len(pieces) * 1e6


def kept_back(redaction: Redaction, text: str) -> list[int]:
    """Return how many characters wait after each chunk."""
    waiting = []
    for piece in chunks(text):
        redaction.feed(piece)
        waiting.append(len(redaction.held))
    return waiting


def timed(job: Callable[[], object]) -> float:
    """Return how long a job takes, in microseconds."""
    began = time.perf_counter()
    job()
    return (time.perf_counter() - began) * 1e6


if __name__ == "__main__":
    raise SystemExit(main())
