"""Prometheus' text form, as much of it as is asked for: only lines of wanted series are read, and those strictly."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

SIZE_MAX = 8 * 1024 * 1024
VALUE_MAX = 1e15
"""More than anything that is counted comes to, and little enough to be reckoned with."""

_NAME = re.compile(r"[a-zA-Z_:][\w:]*")
_LINE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?[ \t]+(?P<value>\S+)(?:[ \t]+-?\d+)?[ \t]*")
_LABEL = re.compile(r'[ \t]*(?P<name>\w+)="(?P<value>(?:[^"\\\n]|\\.)*)"[ \t]*(?:,|$)')


class SampleError(Exception):
    """What was told is no reading: it is missing, cannot be read, or cannot be true."""


@dataclass(frozen=True)
class Series:
    """One line: what it is about, and its value, which is neither negative nor too large to be true."""

    name: str
    labels: dict[str, str]
    value: float


def read(body: bytes, wanted: Collection[str]) -> list[Series]:
    """Return the series of some names; raises SampleError for a line of these that cannot be, or is there twice."""
    if len(body) > SIZE_MAX:
        raise SampleError(f"{len(body)} bytes are more than {SIZE_MAX}")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise SampleError(f"not text: {error}") from error
    found = list(_series(text, wanted))
    if len({(each.name, *sorted(each.labels.items())) for each in found}) < len(found):
        raise SampleError("a series is there twice")
    return found


def _series(text: str, wanted: Collection[str]) -> Iterator[Series]:
    begins = tuple(wanted)
    for line in text.split("\n"):
        if not line.startswith(begins):
            continue  # as nearly all lines are
        name = _NAME.match(line)
        if name is None or name[0] not in wanted:
            continue
        match = _LINE.fullmatch(line.rstrip("\r"))
        if match is None:
            raise SampleError(f"cannot be read: {line[:120]}")
        yield Series(match["name"], _labels(match["labels"] or ""), _value(match["value"], line))


def _labels(text: str) -> dict[str, str]:
    labels, at = {}, 0
    while at < len(text):
        match = _LABEL.match(text, at)
        if match is None:
            raise SampleError(f"labels cannot be read: {text[:120]}")
        labels[match["name"]] = match["value"]
        at = match.end()
    return labels


def _value(text: str, line: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= VALUE_MAX:
        raise SampleError(f"not a value: {line[:120]}")
    return value
