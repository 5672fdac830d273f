"""The picture of accelerators shows the committed figures, and those of others by their rules."""

import json
import re
from pathlib import Path

import pytest

from bench.accelerator_peers import argo_rollouts, flagger
from bench.accelerator_picture import draw, figures_of, main

RESULT = {"figures": {f"peak_{mode}_{size}": size + (mode == "surge") for mode in ("surge", "borrow", "replace") for size in (1, 2, 4, 8)}}


@pytest.mark.parametrize(("replicas", "argo", "both"), [(1, 2, 3), (2, 4, 5), (4, 8, 9), (8, 16, 18)])
def test_others_hold_both_fleets_and_one_of_them_the_surge_of_a_second_rolling_update(replicas: int, argo: int, both: int) -> None:
    assert (argo_rollouts(replicas), flagger(replicas)) == (argo, both)


def test_every_bar_is_as_high_as_its_number_says(tmp_path: Path) -> None:
    result, picture = tmp_path / "in.json", tmp_path / "out.svg"
    result.write_text(json.dumps(RESULT))
    main(result, picture)
    text = picture.read_text()
    assert text == draw(figures_of(RESULT))
    bars = [int(each) for each in re.findall(r'<rect [^>]*width="28" height="(\d+)"', text)]
    numbers = [int(each) for each in re.findall(r">(\d+)</text>", text)]
    assert bars == [14 * each for each in numbers]
    assert numbers == [1, 1, 2, 2, 3, 2, 2, 3, 4, 5, 4, 4, 5, 8, 9, 8, 8, 9, 16, 18]
