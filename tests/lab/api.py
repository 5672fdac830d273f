"""A client of the API server in thirty lines, for the start of the lab and for its own checks."""

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

from tests.lab.state import State


class ApiError(OSError):
    """The API server refused."""


class Api:
    """Talks to the lab's API server as one of its users, from inside the lab's network."""

    def __init__(self, state: State, user: str = "admin", timeout_s: float = 5.0) -> None:
        """Read where the server is and who to be."""
        config = json.loads(state.kubeconfig(user).read_text())
        self._server = urlsplit(config["clusters"][0]["cluster"]["server"])
        self._token = config["users"][0]["user"]["token"]
        self._tls = ssl.create_default_context(cafile=str(state.pki / "ca.crt"))
        self._timeout_s = timeout_s

    def text(self, path: str, *, method: str = "GET", body: object = None, content_type: str = "application/json") -> str:
        """Return the answer's body; anything but success raises."""
        connection = http.client.HTTPSConnection(self._server.hostname or "", self._server.port, timeout=self._timeout_s, context=self._tls)
        try:
            headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            answer = response.read().decode()
        except http.client.HTTPException as error:
            raise ApiError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
        if response.status >= http.client.BAD_REQUEST:
            raise ApiError(f"{method} {path}: {response.status} {answer[:300]}")
        return answer

    def json(self, path: str, *, method: str = "GET", body: object = None, content_type: str = "application/json") -> Any:
        """Return the answer as an object."""
        return json.loads(self.text(path, method=method, body=body, content_type=content_type))
