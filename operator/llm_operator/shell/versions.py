"""The order of resourceVersions: within a kind of object the larger number is the later one."""


def is_before(one: str, other: str) -> bool:
    """Return whether a version is older than another; those that are no numbers cannot be compared, and are not."""
    return one.isdecimal() and other.isdecimal() and int(one) < int(other)
