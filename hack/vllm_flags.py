#!/usr/bin/env python3
"""Turn the output of `vllm serve --help=all` into the facts our argument table is tested against.

Usage: python hack/vllm_flags.py HELP.txt > tests/unit/core/data/vllm_0_32_flags.json
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

_SIGNATURE = re.compile(r"^ {2}(-\S.*?)(?: {2,}(\S.*))?$")
_DEFAULT = re.compile(r"\(default: (.*)\)$")
_BRACES = re.compile(r"\{([^}]*)\}")
_LIST = re.compile(r"\[('[^\]]*')\]")


def parse(text: str) -> dict[str, dict[str, Any]]:
    """Return what the help says of each flag, by its long name without dashes."""
    facts: dict[str, dict[str, Any]] = {}
    lines = text.splitlines()
    for index, line in enumerate(lines):
        match = _SIGNATURE.match(line)
        if match is None:
            continue
        described = [match[2]] if match[2] else []
        for below in lines[index + 1 :]:
            if not below.startswith(" " * 20):
                break
            described.append(below.strip())
        entry = _entry(match[1], " ".join(described))
        facts[entry.pop("name")] = entry
    return facts


def _entry(signature: str, description: str) -> dict[str, Any]:
    """Return the facts of one flag from its signature (`--a A, -x A`) and its description."""
    names = re.findall(r"(?:^|, )(-{1,2}[A-Za-z0-9][\w-]*)", signature)
    long = [name[2:] for name in names if name.startswith("--")]
    negation = f"no-{long[0]}"
    value = signature[len(f"--{long[0]}") :].split(", -", maxsplit=1)[0].strip() if signature.startswith("--") else ""
    braces, quoted = _BRACES.match(value), _LIST.match(value)
    choices = braces[1].split(",") if braces else re.findall(r"'([^']*)'", quoted[1]) if quoted else None
    default = _DEFAULT.search(description)
    return {
        "name": long[0],
        "aliases": sorted(name for name in names if name not in {f"--{long[0]}", f"--{negation}"}),
        "takesValue": bool(value),
        "negatable": negation in long,
        "several": value.endswith("...]"),
        "json": "valid JSON string or JSON keys" in description,
        "choices": choices,
        "default": default[1] if default else None,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(parse(Path(sys.argv[1]).read_text()), indent=1, sort_keys=True) + "\n")
