"""What people and programs see of the tests of prompts."""

import difflib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from llm_operator.cli.exits import Exit
from llm_operator.cli.prompt_test import Failure, Report, Result

_SHOWN = 2000


def show(reports: Sequence[Report], *, is_json: bool) -> Exit:
    """Print what became of the tests, and return the exit code: one that failed is a failure."""
    results = [result for report in reports for result in report.results]
    failed = sum(bool(result.failures) for result in results)
    unasked = sum(result.is_unasked for result in results)
    code = Exit.ABORTED if failed else Exit.REACHED
    if is_json:
        counts = {"passed": len(results) - failed, "failed": failed, "answersNotAsked": unasked}
        click.echo(json.dumps({"prompts": [_as_json(report) for report in reports], **counts, "exitCode": code}, ensure_ascii=False))
        return code
    for report in reports:
        click.echo(f"{report.prompt.manifest.kind} {report.prompt.manifest.name} ({report.prompt.manifest.file})")
        for line in _lines(report):
            click.echo(f"  {line}")
    told = f"{len(results) - failed} passed, {failed} failed"
    click.echo(told + (f"; answers were not asked for in {unasked}, see --url" if unasked else ""))
    return code


def _lines(report: Report) -> Iterator[str]:
    if not report.results:
        yield "compiles; it has no tests"
    for result in report.results:
        yield f"{'failed' if result.failures else 'passed'}  {result.test.name}"
        for failure in result.failures:
            yield from (f"        {line}" for line in _failure(result, failure))
        if result.failures and result.answer is not None:
            yield "        the answer was:"
            yield from (f"          {line}" for line in result.answer[:_SHOWN].splitlines())


def _failure(result: Result, failure: Failure) -> Iterator[str]:
    expected = result.test.expect.equals
    if expected is None or not failure.field.endswith(".expect.equals"):
        yield f"{failure.field}: {failure.message}"
        return
    yield f"{failure.field}: the rendered prompt is another one"
    lines = difflib.unified_diff(expected.splitlines(), result.rendered.splitlines(), "expected", "rendered", lineterm="")
    yield from (f"  {line}" for line in lines)


def _as_json(report: Report) -> dict[str, Any]:
    manifest = report.prompt.manifest
    return {
        "kind": manifest.kind,
        "name": manifest.name,
        "file": manifest.file,
        "digest": report.prompt.words.digest,
        "tests": [
            {
                "name": result.test.name,
                "passed": not result.failures,
                "rendered": result.rendered,
                "answer": result.answer,
                "failures": [{"field": failure.field, "message": failure.message} for failure in result.failures],
            }
            for result in report.results
        ],
    }
