"""`pipeline run`: a request through the stages and the prompt of an LLMDeployment, and an answer back. Data in, an account out."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llm_operator.cli import manifests
from llm_operator.cli.endpoint import OK, Endpoint
from llm_operator.cli.exits import CliError, Exit
from llm_operator.core.bundles import inline, make_bundle, referenced
from llm_operator.core.errors import UserError
from llm_operator.core.prompts import checked
from llm_operator.core.validate import read_spec
from llm_sidecar.compile import Compiled, compile_bundle
from llm_sidecar.errors import Refusal
from llm_sidecar.offline import CHAT, COMPLETION, Filter, Request, Trial
from llm_sidecar.prompt_tests import check
from llm_sidecar.traced import Did


@dataclass(frozen=True)
class Deployment:
    """An LLMDeployment, its bundle compiled."""

    manifest: manifests.Manifest
    served_name: str
    compiled: Compiled


@dataclass
class Account:
    """What happened. ``sent`` is what the engine gets, ``received`` what the client does, ``refusal`` what it gets instead."""

    path: str
    upstream: str
    requested: list[Did]
    answered: list[Did]
    degraded: list[str]
    sent: bytes = b""
    is_unchanged: bool = False
    received: bytes | None = None
    status: int = 0
    is_stream: bool = False
    refusal: Refusal | None = None

    @property
    def code(self) -> Exit:
        """Return the exit code: a request that is refused is rejected, an answer that is one has failed."""
        if self.refusal is not None:
            return Exit.ABORTED if self.sent else Exit.REJECTED
        return Exit.ABORTED if self.status not in {0, OK} else Exit.REACHED


def read_deployment(files: Sequence[str], name: str) -> Deployment:
    """Return the LLMDeployment of these files, with the LLMPrompt it refers to, or raise CliError with what is wrong with it."""
    found = manifests.read(files)
    deployments = [each for each in found if each.kind == manifests.DEPLOYMENT and name in {"", each.name}]
    if len(deployments) != 1:
        names = ", ".join(each.name for each in found if each.kind == manifests.DEPLOYMENT) or "none"
        raise CliError(f"one LLMDeployment is needed, name it with --name; in {', '.join(files)} there are: {names}")
    manifest = deployments[0]
    try:
        spec = read_spec(manifest.body)
        ref = spec.prompt.ref.name if spec.prompt is not None and spec.prompt.ref is not None else ""
        prompt = next((each.body for each in found if (each.kind, each.name) == (manifests.PROMPT, ref)), None)
        if ref and prompt is None:
            raise CliError(f"{manifest.place}: spec.prompt.ref.name: LLMPrompt {ref} is in none of the files; add its file with -f")
        words = referenced(ref, prompt) if ref else inline(spec)
        bundle = checked(make_bundle(spec, words), words.tests, words.origin, check)
    except UserError as error:
        raise CliError(f"{manifest.place}: {error.sentence}", Exit.REJECTED) from error
    return Deployment(manifest, spec.model.served_name or manifest.name, compile_bundle(bundle))


def path_of(request: bytes) -> str:
    """Return where a request belongs: one without messages is a completion."""
    try:
        body = json.loads(request)
    except (ValueError, RecursionError):
        return CHAT
    return COMPLETION if isinstance(body, dict) and "messages" not in body and "prompt" in body else CHAT


def run(deployment: Deployment, request: bytes, path: str, given: bytes | None, endpoint: Endpoint | None, model: str) -> Account:
    """Take a request to the engine, and back the answer that is given or that the endpoint has for it."""
    path = path or path_of(request)
    trial = Trial(deployment.compiled, path, model or deployment.served_name)
    judging = trial.judging
    account = Account(path, trial.upstream, judging.requested, judging.answered, judging.bypassed)
    try:
        prepared = asyncio.run(trial.request(request))
        account.sent = _of_model(prepared.body, model)
        account.is_unchanged = account.sent == request
        if given is not None:
            _answer(trial, prepared, account, OK, given.lstrip()[:1] != b"{", [given])
        elif endpoint is not None:
            reply = endpoint.post(trial.upstream, account.sent)
            _answer(trial, prepared, account, reply.status, reply.content_type.startswith("text/event-stream"), reply.pieces)
    except Refusal as refusal:
        account.refusal = refusal
    return account


def _answer(trial: Trial, prepared: Request, account: Account, status: int, is_stream: bool, pieces: Iterable[bytes]) -> None:
    account.is_stream = is_stream and status == OK
    if account.is_stream:
        account.status = OK
        account.received = b"".join(_streamed(trial.stream(prepared), account, pieces))
        return
    told = asyncio.run(trial.answer(prepared, status, b"".join(pieces)))
    account.status, account.received = told.status, told.body


def _streamed(stream: Filter, account: Account, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what a client gets of a stream; one that may not go on ends as it does for a client."""
    try:
        for piece in pieces:
            yield stream.feed(piece)
        yield stream.finish()
    except Refusal as refusal:
        account.refusal = refusal
        yield stream.fail(refusal)


def _of_model(body: bytes, model: str) -> bytes:
    if not model:
        return body
    named: dict[str, Any] = json.loads(body)
    return json.dumps({**named, "model": model}).encode()
