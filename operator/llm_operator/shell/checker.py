"""Checks bundles outside the operator's process, because their templates and schemas come from tenants."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import msgspec

from llm_operator.shell.check_worker import CPU_S, MEMORY_BYTES
from llm_operator.shell.errors import TransientError
from llm_sidecar.bundle import Bundle, BundleError, encode
from llm_sidecar.prompt_tests import PromptTest

WORKER = (sys.executable, "-m", "llm_operator.shell.check_worker")
_WALL_S = 30.0
_REMEMBERED = 1024
_TOO_HUNGRY = {
    signal.SIGXCPU: f"takes more than {CPU_S} s to compile",
    signal.SIGABRT: f"needs more than {MEMORY_BYTES >> 20} MiB of memory",
    signal.SIGSEGV: f"needs more than {MEMORY_BYTES >> 20} MiB of memory",
}

Verdict = tuple[str, str] | None
"""Field and message of what is wrong, or None."""


class UntriedError(Exception):
    """Nobody has tried this bundle out yet."""

    def __init__(self, bundle: Bundle, tests: tuple[PromptTest, ...]) -> None:
        super().__init__("the bundle has to be tried out first")
        self.bundle, self.tests = bundle, tests


class Checker:
    """Calling it with a bundle raises BundleError if no sidecar could serve it. Blocks, so call it off the loop.

    A verdict depends on the bundle alone, so it is remembered; what the process did to reach it is not.
    """

    def __init__(self, worker: Sequence[str] = WORKER, wall_s: float = _WALL_S) -> None:
        self._worker = worker
        self._wall_s = wall_s
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._verdicts: OrderedDict[bytes, Verdict] = OrderedDict()

    def __enter__(self) -> Self:
        """Nothing is started before it is needed."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the process, also under a check that waits for it."""
        self._closed = True
        if self._process is not None:
            self._process.kill()
        with self._lock:
            self._end()

    def __call__(self, bundle: Bundle, tests: tuple[PromptTest, ...] = ()) -> None:
        """Raise BundleError when a sidecar could not serve this bundle, or its prompt fails a test."""
        line = _line(bundle, tests)
        name = hashlib.sha256(line).digest()
        with self._lock:
            if name not in self._verdicts:
                self._verdicts[name] = self._ask(line)
                if len(self._verdicts) > _REMEMBERED:
                    self._verdicts.popitem(last=False)
            verdict = self._verdicts[name]
        if verdict:
            raise BundleError(*verdict)

    def known(self, bundle: Bundle, tests: tuple[PromptTest, ...] = ()) -> None:
        """Do what a call does when the same was tried out before, else raise UntriedError; never blocks."""
        name = hashlib.sha256(_line(bundle, tests)).digest()
        if name not in self._verdicts:
            raise UntriedError(bundle, tests)
        if verdict := self._verdicts[name]:
            raise BundleError(*verdict)

    def _ask(self, line: bytes) -> Verdict:
        process = self._running()
        assert process.stdin  # noqa: S101  # Popen was given pipes
        assert process.stdout  # noqa: S101  # same
        deadline = threading.Timer(self._wall_s, process.kill)
        deadline.start()
        try:
            process.stdin.write(line + b"\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        finally:
            deadline.cancel()
        if answer:
            found = json.loads(answer)
            return (found["field"], found["message"]) if found else None
        return self._post_mortem(process)

    def _post_mortem(self, process: subprocess.Popen[bytes]) -> Verdict:
        """Return the verdict that the death of the process is, or raise when it says nothing about the bundle."""
        died_of = -process.wait()
        self._end()
        if died_of in _TOO_HUNGRY:
            return "", _TOO_HUNGRY[signal.Signals(died_of)]
        raise TransientError(0, "CheckFailed", f"the bundle could not be checked: its process ended with {-died_of}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise TransientError(0, "Closed", "the operator stops")
        if self._process is None or self._process.poll() is not None:
            self._end()
            environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                self._worker, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
        return self._process

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):  # closing flushes, and nobody may be left to read it
                    pipe.close()
        self._process = None


def _line(bundle: Bundle, tests: tuple[PromptTest, ...]) -> bytes:
    """Return what the process is asked."""
    return msgspec.json.encode({"bundle": msgspec.Raw(encode(bundle)), "tests": tests})
