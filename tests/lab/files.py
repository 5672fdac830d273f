"""Writing small files."""

from pathlib import Path


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file whole or not at all, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.touch(mode=mode)
    part.write_text(text)
    part.chmod(mode)
    part.replace(path)
