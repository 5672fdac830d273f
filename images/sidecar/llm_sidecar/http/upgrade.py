"""Requests that offer to go on in HTTP/2, as Java's client does with every one: they are served as if they did not (RFC 9110 §7.8)."""

from collections.abc import Iterable

from llm_sidecar.http.cycle import Header

_OFFER = (b"upgrade", b"http2-settings", b"connection")


def offers_http2(headers: Iterable[Header]) -> bool:
    """Return whether a head offers HTTP/2 and nothing else; who wants another protocol would not understand an answer in this one."""
    return [value.strip().lower() for name, value in headers if name == b"upgrade"] == [b"h2c"]


def without_offer(method: bytes, target: bytes, version: str, headers: Iterable[Header]) -> bytes:
    """Return a head again without the offer, behind which the parser would read no body."""
    headers = list(headers)
    closes = any(name == b"connection" and b"close" in value.lower() for name, value in headers)
    kept = [(name, value) for name, value in headers if name not in _OFFER] + [(b"connection", b"close")] * closes
    lines = b"".join(b"%b: %b\r\n" % header for header in kept)
    return b"%b %b HTTP/%b\r\n%b\r\n" % (method, target, version.encode(), lines)
