"""The page about trying things out without a cluster: each command on it prints and ends as it says there."""

import asyncio
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Result
from tests.unit.sidecar.support.engine import Engine, answers, engine_running, http

REPO = Path(__file__).resolve().parents[3]
PAGE = (REPO / "docs/how-to/test-prompts-offline.md").read_text()
TRANSCRIPTS = [block for block in re.findall(r"^```\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) if block.startswith("$ kubectl llm ")]
SAID = {"role": "assistant", "content": "As an AI, I cannot see your invoices."}


@pytest.mark.parametrize("words", ["$ kubectl llm prompt test", "$ kubectl llm pipeline run", "--url http://localhost:8000"])
def test_the_page_shows_both_commands_and_an_endpoint(words: str) -> None:
    assert any(words in each for each in TRANSCRIPTS)


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=[each.partition("\n")[0] for each in TRANSCRIPTS])
async def test_a_command_prints_and_ends_as_the_page_shows(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, transcript: str
) -> None:
    monkeypatch.chdir(REPO)
    command, _, rest = transcript.partition("\n")
    printed, _, code = rest.partition("$ echo $?\n")
    reply = http(json.dumps({"choices": [{"index": 0, "message": SAID}]}).encode())
    async with engine_running(Engine(script=answers(reply))) as engine:
        words = shlex.split(command.replace("localhost:8000", f"127.0.0.1:{engine.port}"))
        done = await asyncio.to_thread(run, *words[3:])
    assert done.out == printed
    assert done.code == int(code or 0)
