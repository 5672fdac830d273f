"""Log lines as JSON, one object a line, so that a query can find every decision about one deployment."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

LOGGER = logging.getLogger("llm_operator")
_FIELDS = "fields"


class JsonFormatter(logging.Formatter):
    """Formats a record, its fields and its traceback as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, _FIELDS, {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: str = "") -> None:
    """Send every log line of the process to standard output as JSON; a level that does not exist counts as INFO."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.getLevelNamesMapping().get(level.upper(), logging.INFO), handlers=[handler], force=True)
    # kopf tells of every watch event at INFO; what the operator decides from it is logged by the operator.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    # It warns that it cannot take signals in its thread, which is why it is in one.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    logging.getLogger("kopf._cogs.clients.watching").addFilter(_not_an_attempt)


def _not_an_attempt(record: logging.LogRecord) -> bool:
    """Leave out what kopf says of each failed attempt of each watch: the resync tells once what cannot be read."""
    return "will retry" not in record.msg


def log(level: int, message: str, **fields: object) -> None:
    """Write one line with fields; absent ones are left out."""
    LOGGER.log(level, message, extra={_FIELDS: {name: value for name, value in fields.items() if value is not None}})
