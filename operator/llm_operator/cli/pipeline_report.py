"""What people and programs see of a request's way through a pipeline."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from llm_operator.cli.exits import Exit
from llm_operator.cli.pipeline_run import Account, Deployment
from llm_sidecar.traced import Did

_SHOWN = 120


def show(deployment: Deployment, account: Account, *, is_json: bool) -> Exit:
    """Print what happened, and return the exit code."""
    if is_json:
        click.echo(json.dumps(_as_json(deployment, account), ensure_ascii=False))
        return account.code
    for line in _lines(deployment, account):
        click.echo(line)
    return account.code


def _lines(deployment: Deployment, account: Account) -> Iterator[str]:
    manifest = deployment.manifest
    yield f"POST {account.path} at LLMDeployment {manifest.name} ({manifest.file})"
    yield from _stages("request", account.requested)
    if account.sent:
        yield f"\nthe engine receives at {account.upstream}{', byte for byte what the client sent' if account.is_unchanged else ''}"
        yield _pretty(account.sent)
        yield from _stages("\nanswer", account.answered)
    if account.degraded:
        yield f"\nx-llm-degraded: {', '.join(account.degraded)}"
    refusal = account.refusal
    if refusal is not None:
        yield f"\nrefused: {refusal.status} {refusal.code}{f' by stage {refusal.stage}' if refusal.stage else ''}"
        yield _pretty(refusal.body())
    if account.received is not None:
        yield f"\nthe client receives{' a stream' if account.is_stream else f' {account.status}'}"
        yield _pretty(account.received)


def _stages(title: str, did: Sequence[Did]) -> Iterator[str]:
    if did:
        yield title
    for each in did:
        words = [f"({', '.join(each.found)})"] if each.found else []
        words += [each.reason] if each.reason else []
        yield f"  {each.stage:<10} {' '.join([each.outcome, *words])}"
        for change in each.changes:
            yield f"             {change.path}: {_short(change.before)} -> {_short(change.after)}"


def _short(text: str) -> str:
    return json.dumps(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…", ensure_ascii=False)


def _pretty(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body.decode(errors="replace").rstrip("\n")


def _value(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def _as_json(deployment: Deployment, account: Account) -> dict[str, Any]:
    told: dict[str, Any] = {
        "deployment": deployment.manifest.name,
        "path": account.path,
        "request": {"stages": [_did(each) for each in account.requested]},
        "degraded": account.degraded,
        "exitCode": account.code,
    }
    if account.sent:
        told["engine"] = {"path": account.upstream, "unchanged": account.is_unchanged, "body": _value(account.sent)}
    if account.refusal is not None:
        told["refusal"] = {"status": account.refusal.status, **json.loads(account.refusal.body())}
    if account.received is not None:
        stages = [_did(each) for each in account.answered]
        told["answer"] = {"status": account.status, "stream": account.is_stream, "stages": stages, "body": _value(account.received)}
    return told


def _did(did: Did) -> dict[str, Any]:
    changes = [{"path": each.path, "before": each.before, "after": each.after} for each in did.changes]
    return {"stage": did.stage, "outcome": did.outcome, "found": list(did.found), "reason": did.reason, "changes": changes}
