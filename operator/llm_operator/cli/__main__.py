"""Entry of the console script: says what is missing where only the operator was installed."""

import sys


def main() -> None:
    """Run `kubectl-llm`."""
    try:
        from llm_operator.cli.main import main as run  # noqa: PLC0415  # click belongs to the extra "cli"
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error.name} is missing; install the command line with: pip install 'llm-operator[cli]'")
    run()


if __name__ == "__main__":
    main()
