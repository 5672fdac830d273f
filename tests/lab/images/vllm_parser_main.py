"""Runs inside vLLM's own environment: tells its options, then answers argument lists, one a line, with what `vllm serve` says to each."""

import contextlib
import importlib
import io
import json
import sys
from typing import Any


def main() -> None:
    """Build the parser once, as the `vllm` command does, and answer line by line."""
    serve, parser, options = _serve_parser()
    _tell("options", options)
    engine_args = importlib.import_module("vllm.engine.arg_utils").AsyncEngineArgs
    for line in sys.stdin:
        _tell("verdict", _refusal(json.loads(line), serve, parser, engine_args))


def _tell(mark: str, value: Any) -> None:
    # vLLM writes its log to the standard output too: the mark tells our lines from those.
    sys.stdout.write(f"{mark} {json.dumps(value)}\n")


def _serve_parser() -> tuple[Any, Any, list[str]]:
    # By name: this file is read by tools that do not have vLLM at hand.
    parser = importlib.import_module("vllm.utils.argparse_utils").FlexibleArgumentParser(prog="vllm")
    subparsers = parser.add_subparsers(required=True, dest="subparser")
    (serve,) = importlib.import_module("vllm.entrypoints.cli.serve").cmd_init()
    options = serve.subparser_init(subparsers)._option_string_actions
    return serve, parser, sorted(options)


def _refusal(arguments: list[str], serve: Any, parser: Any, engine_args: Any) -> str | None:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = parser.parse_args(["serve", *arguments])
            serve.validate(parsed)
            parsed.model = parsed.model_tag  # as the command itself does next
            engine_args.from_cli_args(parsed)
    except SystemExit:
        return said.getvalue().strip().rpartition("error: ")[2] or "exit"
    except Exception as error:  # noqa: BLE001  whatever vLLM raises here would end the engine
        return f"{type(error).__name__}: {error}"
    return None


if __name__ == "__main__":
    main()
