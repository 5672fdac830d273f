from pathlib import Path

from bench.sidecar.table import recorded

DOCS = Path(__file__).resolve().parents[3] / "docs/explanation/performance.md"


def test_the_documentation_has_the_figures_that_are_written_down() -> None:
    assert recorded() in DOCS.read_text(), "python -m bench.sidecar.table prints the table of the newest figures"
