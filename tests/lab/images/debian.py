"""Where Debian packages come from: the mirrors this machine's own apt is set up for."""

from collections.abc import Iterable
from pathlib import Path

SUITE = "bookworm"
_SUITES = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")
_DEFAULT = ("http://deb.debian.org/debian", "http://deb.debian.org/debian-security")


def host_sources(etc_apt: Path = Path("/etc/apt")) -> list[str]:
    """Return one-line sources of Debian bookworm's main component: the host's own mirrors, or Debian's where the host is another system."""
    lines: list[str] = []
    for path in [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*"))]:
        if path.suffix == ".sources":
            lines += _stanzas(path.read_text())
        elif path.suffix == ".list" and path.exists():
            lines += _one_lines(path.read_text())
    if not any(line.split()[2] == SUITE for line in lines):
        main, security = _DEFAULT
        lines = [f"deb {main} {SUITE} main", f"deb {main} {SUITE}-updates main", f"deb {security} {SUITE}-security main"]
    return list(dict.fromkeys(lines))


def _stanzas(text: str) -> Iterable[str]:
    for stanza in text.split("\n\n"):
        pairs = [line.partition(":") for line in stanza.splitlines() if not line.startswith(("#", " "))]
        fields = {key.strip().lower(): value.split() for key, separator, value in pairs if separator}
        if "deb" in fields.get("types", []) and fields.get("enabled") != ["no"]:
            for uri in fields.get("uris", []):
                for suite in fields.get("suites", []):
                    yield from _line(uri, suite, fields.get("components", []))


def _one_lines(text: str) -> Iterable[str]:
    for line in text.splitlines():
        kind, _, rest = line.partition("#")[0].strip().partition(" ")
        words = rest.partition("]")[2].split() if rest.lstrip().startswith("[") else rest.split()
        if kind == "deb" and len(words) > 2:
            yield from _line(words[0], words[1], words[2:])


def _line(uri: str, suite: str, components: list[str]) -> Iterable[str]:
    if suite in _SUITES and "main" in components:
        yield f"deb {uri.rstrip('/')} {suite} main"
