"""Draws the peaks of accelerators beside those of other ways, from the committed figures: `make generate` writes the picture."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.accelerator_peers import ARGO_ROLLOUTS, FLAGGER, PEAKS
from bench.record import RESULTS, ROOT

PICTURE = ROOT / "docs/explanation/accelerators.svg"
SIZES = (1, 2, 4, 8)
_SERIES = (
    ("Replace", "#1b7837"),
    ("Borrow", "#5aae61"),
    ("Surge", "#a6dba0"),
    (ARGO_ROLLOUTS, "#9970ab"),
    (FLAGGER, "#c2a5cf"),
)
_LEFT, _TOP, _FLOOR, _UNIT = 40, 60, 330, 14
"""Where the drawing begins and its bars stand, and the height of one accelerator."""
_BAR, _GROUP = 28, 172


def figures_of(result: Mapping[str, Any]) -> dict[str, dict[int, int]]:
    """Return the peaks of each way by replicas: ours as measured, those of others by their rules."""
    ours = {
        mode: {size: int(result["figures"][f"peak_{mode.lower()}_{size}"]) for size in SIZES} for mode in ("Surge", "Borrow", "Replace")
    }
    return ours | {peer: {size: of(size) for size in SIZES} for peer, of in PEAKS.items()}


def draw(peaks: Mapping[str, Mapping[int, int]]) -> str:
    """Return the picture."""
    width, height = _LEFT + _GROUP * len(SIZES) + 10, _FLOOR + 60
    space, size = 'xmlns="http://www.w3.org/2000/svg"', f'width="{width}" height="{height}"'
    parts = [
        f'<svg {space} viewBox="0 0 {width} {height}" {size} role="img" font-family="sans-serif" font-size="12">',
        "<title>Accelerators held at the peak of one change of the engine</title>",
        f'<rect {size} fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="14" font-weight="bold">Accelerators held at the peak of one change of the engine</text>',
    ]
    for place, (name, colour) in enumerate(_SERIES):
        x = _LEFT + 90 * min(place, 3) + 180 * max(place - 3, 0)  # the last two say that they are computed, which is longer
        said = f"{name}, by its rules" if name in PEAKS else name
        parts.append(f'<rect x="{x}" y="{_TOP - 26}" width="11" height="11" fill="{colour}"/>')
        parts.append(f'<text x="{x + 15}" y="{_TOP - 16}" font-size="11">{said}</text>')
    for group, replicas in enumerate(SIZES):
        left = _LEFT + _GROUP * group
        for place, (name, colour) in enumerate(_SERIES):
            most = peaks[name][replicas]
            x, tall = left + (_BAR + 2) * place, most * _UNIT
            parts.append(f'<rect x="{x}" y="{_FLOOR - tall}" width="{_BAR}" height="{tall}" fill="{colour}"/>')
            parts.append(f'<text x="{x + _BAR // 2}" y="{_FLOOR - tall - 4}" text-anchor="middle">{most}</text>')
        middle = left + (_BAR + 2) * len(_SERIES) // 2
        named = "1 replica" if replicas == 1 else f"{replicas} replicas"
        parts.append(f'<text x="{middle}" y="{_FLOOR + 20}" text-anchor="middle" font-weight="bold">{named}</text>')
    parts.append(f'<line x1="{_LEFT}" y1="{_FLOOR}" x2="{width - 20}" y2="{_FLOOR}" stroke="#333"/>')
    words = "The only replica is never lent: with Borrow that change waits, and 1 is what is there."
    parts.append(f'<text x="{_LEFT}" y="{_FLOOR + 44}" font-size="11" fill="#333">{words}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main(result: Path = RESULTS / "accelerators.json", picture: Path = PICTURE) -> None:
    """Draw the committed figures."""
    picture.write_text(draw(figures_of(json.loads(result.read_text()))))


if __name__ == "__main__":
    main()
