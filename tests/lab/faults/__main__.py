"""The command line, to be run inside a control-plane lab: `python -m tests.lab.faults list|run|sweep|report`."""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from tests.lab.cluster import Lab
from tests.lab.faults import generating, sweep
from tests.lab.faults.journal import append, load
from tests.lab.faults.lab import surroundings
from tests.lab.faults.learning import Lesson
from tests.lab.faults.plan import Plan
from tests.lab.faults.runs import Outcome
from tests.lab.say import say
from tests.lab.state import REPOSITORY

RESULT = REPOSITORY / "bench" / "results" / "faults.json"
_LONG = ("violated", "unfired")


def main(argv: list[str]) -> int:
    """Run one command and return its exit code."""
    folder = Lab.current().state.root / "faults"
    args = _parser(folder).parse_args(argv)
    if args.command == "report":
        return _report(load(args.journal), args.result)
    folder.mkdir(exist_ok=True)
    outcomes = asyncio.run(_work(args, folder))
    return _report(outcomes, None) if args.part != "1/1" or args.command == "run" else _report(load(args.journal), args.result)


def _parser(folder: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.faults", description="Faults between the operator and the API server.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    commands.add_parser("list", help="learn the workloads and print every plan")
    one = commands.add_parser("run", help="carry out the plans that have one of these words in their id")
    one.add_argument("words", nargs="+")
    whole = commands.add_parser("sweep", help="carry out every plan, note each in the journal, write the result once all are through")
    report = commands.add_parser("report", help="write the result of what the journal has")
    for command in (one, whole):
        command.add_argument("--lanes", type=int, default=sweep.LANES, help="runs at a time")
    for command in (one, whole, report):
        command.add_argument("--journal", type=Path, default=folder / "journal.jsonl", help="one line a run")
        command.add_argument("--result", type=Path, default=RESULT, help="file to write the figures to")
        command.add_argument("--part", default="1/1", help="only the n-th of m parts, such as 2/5")
    whole.add_argument("--long", action="store_true", help="the outages of ten minutes, and nothing else")
    return parser


async def _work(args: argparse.Namespace, folder: Path) -> list[Outcome]:
    async with surroundings(Lab.current(), folder) as around:
        known = await sweep.lessons(around, _meant(args.words if args.command == "run" else []))
        say(f"learned {sum(len(each.writes) for each in known.values())} writes")
        plans = _plans(args, {name: lesson for name, lesson in known.items() if name in sweep.STRUCK})
        if args.command == "list":
            for plan in plans:
                say(f"{plan.id:<64} {plan.dump()}")
            return []
        commit = _commit()

        def told(outcome: Outcome) -> None:
            sweep.tell(outcome)
            append(args.journal, outcome, commit)

        return await sweep.sweep(around, known, plans, args.lanes, told)


def _meant(words: Sequence[str]) -> Sequence[str]:
    """Return the workloads that plans with these words in their id can be of: an id begins with its workload."""
    found = [[name for name in sweep.LEARNED if word.startswith(f"{name}-")] for word in words]
    return list(dict.fromkeys(chain(*found))) if found and all(found) else sweep.LEARNED


def _plans(args: argparse.Namespace, struck: dict[str, Lesson]) -> list[Plan]:
    if args.command == "sweep" and args.long:
        return list(generating.away(struck, (generating.LONG_OUTAGE_S,)))
    plans = generating.every(struck)
    if args.command == "run":
        return [plan for plan in plans if any(word in plan.id for word in args.words)]
    if args.command == "sweep":
        number, _, of = args.part.partition("/")
        return plans[int(number) - 1 :: int(of)]
    return plans


def _report(outcomes: Iterable[Outcome], result: Path | None) -> int:
    figures = sweep.figures(outcomes)
    if result:
        result.parent.mkdir(parents=True, exist_ok=True)
        result.write_text(json.dumps(figures, indent=2) + "\n")
    say(json.dumps({name: value for name, value in figures.items() if name not in _LONG}, indent=2))
    return 1 if figures["plans_violated"] else 0


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return asked.stdout.strip()


sys.exit(main(sys.argv[1:]))
