from pathlib import Path

import pytest

from tests.lab.images.debian import host_sources

DEFAULT = [
    "deb http://deb.debian.org/debian bookworm main",
    "deb http://deb.debian.org/debian bookworm-updates main",
    "deb http://deb.debian.org/debian-security bookworm-security main",
]
STANZAS = """\
Types: deb deb-src
# a comment in a stanza
URIs: https://mirror.example/debian/
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://mirror.example/security
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: https://off.example/debian
Suites: bookworm
Components: main
"""


@pytest.fixture(name="etc")
def etc_fixture(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_the_mirrors_of_a_debian_host_are_used(etc: Path) -> None:
    (etc / "sources.list.d/debian.sources").write_text(STANZAS)
    assert host_sources(etc) == [
        "deb https://mirror.example/debian bookworm main",
        "deb https://mirror.example/debian bookworm-updates main",
        "deb https://mirror.example/security bookworm-security main",
    ]


def test_the_one_line_form_is_read_with_and_without_options(etc: Path) -> None:
    (etc / "sources.list").write_text(
        "# deb http://old.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://one.example/debian bookworm main contrib # why\n"
        "deb-src http://one.example/debian bookworm main\n"
        "deb http://one.example/security bookworm-security contrib main\n"
    )
    assert host_sources(etc) == ["deb http://one.example/debian bookworm main", "deb http://one.example/security bookworm-security main"]


def test_other_repositories_of_the_host_do_not_come_into_the_image(etc: Path) -> None:
    (etc / "sources.list.d/debian.sources").write_text(STANZAS)
    (etc / "sources.list.d/tool.list").write_text("deb https://tool.example/apt stable main\n")
    (etc / "sources.list.d/tool.list.save").write_text("deb https://saved.example/apt bookworm main\n")
    assert not [line for line in host_sources(etc) if "mirror.example" not in line]


@pytest.mark.parametrize("text", ["", "deb http://archive.ubuntu.com/ubuntu noble main\n", "deb http://one.example/debian trixie main\n"])
def test_a_host_that_is_not_this_debian_falls_back_to_debians_own_mirrors(etc: Path, text: str) -> None:
    (etc / "sources.list").write_text(text)
    assert host_sources(etc) == DEFAULT


def test_a_host_without_apt_falls_back_too(tmp_path: Path) -> None:
    assert host_sources(tmp_path / "nothing") == DEFAULT
