"""Switches the faults of the stub in the same pod: ``python3 -m stub_engine.switch '{"error_rate": 0.5}'``; without argument, all off."""

import http.client
import os
import sys

_PORT = int(os.environ.get("STUB_PORT", "8000"))
_TIMEOUT_S = 10


def main() -> int:
    """Send the change, print the faults in force, and fail if the stub did not understand it."""
    connection = http.client.HTTPConnection("127.0.0.1", _PORT, timeout=_TIMEOUT_S)
    method, body = ("POST", sys.argv[1]) if len(sys.argv) > 1 else ("DELETE", None)
    connection.request(method, "/-/faults", body)
    answer = connection.getresponse()
    sys.stdout.write(f"{answer.read().decode()}\n")
    return 0 if answer.status == http.HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())
