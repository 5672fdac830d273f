"""Questions that show whether something answers, asked once and briefly."""

import socket
import struct
import urllib.request

_TIMEOUT_S = 1.0
_RECURSION_WANTED = 0x0100
_CODE = 0x000F


def http(url: str) -> bool:
    """Say whether a GET succeeds."""
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310  # callers name fixed http addresses
        return bool(answer.read() is not None)


def tcp(address: str, port: int) -> bool:
    """Say whether a connection is accepted."""
    with socket.create_connection((address, port), _TIMEOUT_S):
        return True


def name(server: str, wanted: str) -> bool:
    """Say whether a name server knows an address of the name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(_TIMEOUT_S)
        client.sendto(query(wanted), (server, 53))
        return has_answer(client.recv(512))


def query(wanted: str) -> bytes:
    """Return a question for the IPv4 addresses of a name."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in wanted.rstrip(".").split("."))
    return struct.pack("!6H", 1, _RECURSION_WANTED, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)


def has_answer(message: bytes) -> bool:
    """Say whether a name server's message says yes."""
    _, flags, _, answers, _, _ = struct.unpack("!6H", message[:12])
    return answers > 0 and not flags & _CODE
