"""How deep content may be nested: code that walks it has a stack, and whoever wrote it may not wish us well."""

from typing import Any

MAX_DEPTH = 64


def is_too_deep(value: Any) -> bool:
    """Return whether content is nested deeper than anything honest; never recurses itself."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for each in level if isinstance(each, dict | list) for item in (each.values() if isinstance(each, dict) else each)]
        if not level:
            return False
    return True
