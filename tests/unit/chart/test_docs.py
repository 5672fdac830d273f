"""Commands in the pages about the chart use values and files that exist."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

REPO = Path(__file__).resolve().parents[3]
PAGES = [REPO / "docs/how-to/install.md", REPO / "docs/how-to/uninstall-upgrade.md", REPO / "charts/llm-operator/templates/NOTES.txt"]
VALUES = yaml.safe_load((REPO / "charts/llm-operator/values.yaml").read_text())

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def has(values: Any, dotted: str) -> bool:
    for key in dotted.split("."):
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return True


@each_page
def test_every_value_that_a_command_sets_is_a_value_of_the_chart(page: Path) -> None:
    keys = re.findall(r"--set '?([A-Za-z.]+)=", page.read_text())
    assert keys
    assert [key for key in keys if not has(VALUES, key)] == []


@each_page
def test_every_value_named_in_the_text_is_a_value_of_the_chart(page: Path) -> None:
    keys = re.findall(r"`([a-z][A-Za-z]+(?:\.[a-z][A-Za-z]+)*)=(?:true|false)`", page.read_text())
    assert [key for key in keys if not has(VALUES, key)] == []


def test_every_values_file_of_the_page_is_valid_yaml_of_known_values() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGES[0].read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        assert set(yaml.safe_load(block)) <= set(VALUES)


def test_every_link_and_folder_of_the_pages_exists() -> None:
    for page in PAGES[:2]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (page.parent / link).resolve().exists(), f"{page.name}: {link}"
        for folder in re.findall(r"charts/llm-operator(?:/crds)?", page.read_text()):
            assert (REPO / folder).is_dir(), f"{page.name}: {folder}"


def test_the_notes_and_the_page_keep_values_by_the_same_flag() -> None:
    flags = [re.findall(r"helm upgrade .*?(--[a-z-]*reuse-values)", page.read_text()) for page in PAGES[1:]]
    assert flags == [["--reset-then-reuse-values"]] * 2


def test_the_model_of_the_demo_is_replaced_before_the_example_is_applied_elsewhere() -> None:
    own = (REPO / "README.md").read_text().split("## On your own GPU cluster")[1].split("\n## ")[0]
    before, applied, _ = own.partition("apply -f examples/quickstart.yaml")
    assert applied
    (command,) = re.findall(r"sed -i (.*) examples/quickstart.yaml", before)
    done = subprocess.run(["sed", *shlex.split(command), REPO / "examples/quickstart.yaml"], capture_output=True, text=True, check=True)
    spec = yaml.safe_load(done.stdout)["spec"]
    assert spec["model"]["source"] == "s3://YOUR-BUCKET/YOUR-MODEL"
    assert "resources" not in spec["engine"]
