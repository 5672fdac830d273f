"""An OpenAI-compatible endpoint, spoken to with what Python has: proxies and certificates of the environment count."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from llm_operator import __version__
from llm_operator.cli.exits import CliError, Exit
from llm_operator.cli.waiting import seconds

MAX_ANSWER = 64 * 1024 * 1024
OK = 200
_REFUSED = frozenset({401, 403, 404})
_SUFFIXES = ("/chat/completions", "/completions", "/v1")
_PIECE = 64 * 1024


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key is for the endpoint that was named, and for no other one."""

    def redirect_request(self, *_arguments: Any) -> None:
        """Follow none: it is an answer like any other."""


_opener = urllib.request.build_opener(_NoRedirect)


@dataclass
class Reply:
    """An answer whose body is read as it comes."""

    status: int
    content_type: str
    pieces: Iterator[bytes]

    def whole(self) -> bytes:
        """Return all of the body."""
        return b"".join(self.pieces)


@dataclass(frozen=True)
class Endpoint:
    """Where requests go. ``timeout_s`` is what one of them may take."""

    url: str
    key: str
    timeout_s: float

    def post(self, path: str, body: bytes) -> Reply:
        """Send a request, and return its answer whatever the status."""
        return self._open(urllib.request.Request(self.url + path, body, {"content-type": "application/json"}))  # noqa: S310  # checked

    def only_model(self) -> str:
        """Return the one model there is."""
        reply = self._open(urllib.request.Request(f"{self.url}/v1/models"))  # noqa: S310  # checked
        body = reply.whole()
        self.refuse(reply.status, body)
        try:
            names = [str(each["id"]) for each in json.loads(body)["data"]]
        except (ValueError, KeyError, TypeError) as error:
            raise CliError(f"--url: {self.url}/v1/models does not list models; name one with --model") from error
        if len(names) != 1:
            raise CliError(f"--url: {self.url} has {len(names)} models; name one with --model: {', '.join(names)}")
        return names[0]

    def refuse(self, status: int, body: bytes) -> None:
        """Raise CliError for an answer that says that every request will be refused."""
        if status in _REFUSED:
            raise CliError(f"--url: {self.url} answers {status}: {message_of(body)}")

    def _open(self, request: urllib.request.Request) -> Reply:
        request.add_header("user-agent", f"kubectl-llm/{__version__}")
        if self.key:
            request.add_unredirected_header("authorization", f"Bearer {self.key}")
        end = time.monotonic() + self.timeout_s
        try:
            answer = _opener.open(request, timeout=self.timeout_s)
        except urllib.error.HTTPError as error:
            answer = error
        except urllib.error.URLError as error:
            raise self._failure(error.reason) from error
        except (OSError, HTTPException) as error:
            raise self._failure(error) from error
        return Reply(answer.status, answer.headers.get("content-type", ""), self._pieces(answer, end))

    def _pieces(self, answer: HTTPResponse | urllib.error.HTTPError, end: float) -> Iterator[bytes]:
        size = 0
        try:
            with answer:
                while piece := answer.read1(_PIECE):
                    yield piece
                    size += len(piece)
                    if size > MAX_ANSWER:
                        raise CliError(f"--url: {self.url} answers with more than {MAX_ANSWER} bytes")
                    if time.monotonic() > end:
                        raise TimeoutError
        except (OSError, HTTPException) as error:
            raise self._failure(error) from error

    def _failure(self, error: Any) -> CliError:
        if isinstance(error, TimeoutError):
            return CliError(f"--url: {self.url} has no complete answer within {self.timeout_s:g} s; see --timeout", Exit.TIMED_OUT)
        return CliError(f"--url: {self.url} cannot be asked: {getattr(error, 'strerror', None) or error or type(error).__name__}")


@dataclass(frozen=True)
class Asking:
    """How tests ask for answers. With ``served`` the endpoint has the prompt, and gets what a client would send."""

    endpoint: Endpoint
    model: str = ""
    served: bool = False


def open_endpoint(url: str, key_variable: str, timeout: str) -> Endpoint:
    """Return the endpoint at a URL, with the key of an environment variable if one is named."""
    parts = urlsplit(url)
    try:
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or parts.query or parts.fragment or "@" in parts.netloc:
        raise CliError(f"--url: {url!r} is not an address like http://host:port or https://host/path")
    key = os.environ.get(key_variable, "") if key_variable else ""
    if key_variable and not key.strip():
        raise CliError(f"--api-key-env: the environment variable {key_variable} is not set")
    if not key.isascii() or not key.strip().isprintable():
        raise CliError(f"--api-key-env: what is in {key_variable} cannot be a key")
    base = url.rstrip("/")
    for suffix in _SUFFIXES:
        base = base.removesuffix(suffix)
    return Endpoint(base, key.strip(), seconds(timeout))


def message_of(body: bytes) -> str:
    """Return what an error answer says, shortly."""
    try:
        return str(json.loads(body)["error"]["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace").strip() or "nothing"
