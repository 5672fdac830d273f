"""Figures as the sidecar shows them."""


def total(text: str, name: str) -> float:
    """Return the sum of a metric over its labels."""
    rows = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return sum(float(row.rpartition(" ")[2]) for row in rows)
