import json
import logging

import pytest

from llm_operator.shell import logging as shell_logging


@pytest.fixture(autouse=True)
def _restored() -> object:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_is_one_json_object_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    shell_logging.configure()
    shell_logging.log(logging.INFO, "Deployment chat-x", deployment="ns/chat", revision=None, reason="Created")
    (line,) = lines(capsys)
    assert line.pop("time")
    assert line == {
        "level": "info",
        "logger": "llm_operator",
        "message": "Deployment chat-x",
        "deployment": "ns/chat",
        "reason": "Created",
    }


def test_a_message_with_line_breaks_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    shell_logging.configure()
    shell_logging.log(logging.INFO, "two\nlines")
    assert [line["message"] for line in lines(capsys)] == ["two\nlines"]


def test_a_traceback_is_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    shell_logging.configure()
    try:
        int("no")
    except ValueError:
        logging.getLogger("llm_operator").exception("failed")
    (line,) = lines(capsys)
    assert "ValueError: invalid literal" in str(line["traceback"])


def test_what_kopf_says_of_every_event_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    shell_logging.configure("DEBUG")
    logging.getLogger("kopf.objects").info("Handler succeeded")
    logging.getLogger("kopf._core.reactor.running").warning("OS signals are ignored")
    logging.getLogger("kopf._cogs.clients.watching").error("Request attempt #3 failed; will retry: GET /api -> 403")
    logging.getLogger("kopf.activities").warning("something")
    assert [line["message"] for line in lines(capsys)] == ["something"]
