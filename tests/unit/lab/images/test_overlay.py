import io
import tarfile
from pathlib import Path

from tests.lab.images.archive import Entry
from tests.lab.images.oci import ImageConfig, layer_of, write_image
from tests.lab.images.overlay import overlaid
from tests.unit.lab.images.test_oci import Layout

CONFIG = ImageConfig(("python3", "-m", "thing"), ("--flag",), "10001", {"PYTHONPATH": "/app", "ARGS": "a=b"}, "/work", {"a": "b"})


def test_an_overlay_starts_as_its_base_and_has_its_layers_and_one_more(tmp_path: Path) -> None:
    write_image(tmp_path / "base.tar", "lab.local/thing:dev", [layer_of([Entry("app/one", b"1" * 700)])], CONFIG)
    overlaid(tmp_path / "base.tar", tmp_path / "next.tar", "lab.local/thing:next", [Entry("app/one", b"2")])
    base, made = Layout(tmp_path / "base.tar"), Layout(tmp_path / "next.tar")
    assert made.config["config"] == base.config["config"]
    assert made.entry["annotations"]["io.containerd.image.name"] == "lab.local/thing:next"
    lower, upper = made.manifest["layers"]
    assert lower == base.manifest["layers"][0]
    assert made.blob(lower) == base.blob(lower)
    with tarfile.open(fileobj=io.BytesIO(made.blob(upper))) as layer:
        assert [member.name for member in layer.getmembers()] == ["app", "app/one"]
