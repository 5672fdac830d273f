"""The command line: `python -m tests.lab up|down|status|exec|kubectl|image|logs|stop|start|build`."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.lab import builds, up
from tests.lab.boot import supervise
from tests.lab.builds import BuildError
from tests.lab.cluster import Lab
from tests.lab.host import HostError
from tests.lab.say import say
from tests.lab.state import Settings, State
from tests.lab.up import LabError
from tests.lab.wait import WaitTimeoutError

_DOWN = 3  # what `status` exits with when there is no lab, as service managers do


def main(argv: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        if argv[:1] in (["exec"], ["kubectl"]):  # argparse would take the command's own flags for ours
            return _become(_words(argv))
        args = _parser().parse_args(argv)
        code: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our words has heard enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (LabError, HostError, BuildError, WaitTimeoutError) as error:
        sys.stderr.write(f"lab: {error}\n")
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description="A real Kubernetes on one machine, in a network of its own.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    start = command("up", _up, "build what is missing, start everything, wait until it works")
    start.add_argument("--mode", choices=["full", "control-plane"], default="full", help="control-plane: no node, no root needed")
    start.add_argument("--gpus", type=int, default=8, help="nvidia.com/gpu of the real node (default 8)")
    start.add_argument("--kwok-nodes", type=int, default=0, help="simulated nodes with 8 GPUs each")
    start.add_argument("--s3", action="store_true", help="an S3 server on the node's address")
    start.add_argument("--memory", action="store_true", help="keep images and volumes in memory instead of on disk")
    command("down", _down, "end everything and leave nothing behind but logs")
    command("status", _status, "say what runs; exit code 3 when nothing does")
    command("exec", None, "run a command inside the lab's network: exec -- CMD")
    command("kubectl", None, "run kubectl inside, as administrator")
    command("image", _image, "load OCI archives into the node").add_argument("tars", nargs="+", type=Path)
    logs = command("logs", _logs, "print the end of a component's log")
    logs.add_argument("component")
    logs.add_argument("--lines", type=int, default=50)
    for name, run, text in (("stop", _stop, "kill a component and hold it down"), ("start", _start, "let a stopped component run again")):
        command(name, run, text).add_argument("component")
    command("build", _build, "build programs").add_argument("modules", nargs="*", choices=[*builds.MODULES, []], default=[])
    command("supervise", _supervise, argparse.SUPPRESS).add_argument("root", type=Path)
    return parser


def _up(args: argparse.Namespace) -> int:
    wanted = Settings(mode=args.mode, gpus=args.gpus, kwok_nodes=args.kwok_nodes, s3=args.s3, disk=not args.memory)
    if args.s3 and not wanted.node:
        raise LabError("--s3 needs the full mode: the server listens on the node's address; tests.lab.s3.S3Server runs one without")
    if not up.up(State.current(), wanted):
        say("already up")
    return 0


def _down(_args: argparse.Namespace) -> int:
    removed = up.down(State.current())
    say("down: " + (", ".join(removed) if removed else "there was nothing"))
    return 0


def _status(_args: argparse.Namespace) -> int:
    lab = Lab.current()
    if up.running_settings(lab.state) is None:
        say("down" + (" (an interrupted lab left things behind: run down)" if lab.state.settings.exists() else ""))
        return _DOWN
    settings = lab.settings
    say(f"{'up' if up.is_up(lab.state) else 'starting'}: {settings.mode}, network {settings.network}, state in {lab.state.root}")
    say(f"pod addresses reachable from inside: {'yes' if settings.has_pod_addresses else 'no'}")
    components = lab.components
    for name, facts in components.items():
        say(f"  {name:<24} pid {facts['pid']:<8} {facts['mib']:>5} MiB  restarts {facts['restarts']}")
    say(f"  {sum(facts['mib'] for facts in components.values())} MiB in all")
    return 0


def _words(argv: list[str]) -> list[str]:
    name, *words = argv
    words = words[1:] if words[:1] == ["--"] else words
    if name == "kubectl":
        return ["kubectl", *words]
    if not words:
        raise LabError("exec -- CMD: the command is missing")
    return words


def _become(argv: list[str]) -> int:
    lab = Lab.current()
    environment = lab.environment()
    command = lab.command(argv)
    os.environ["PATH"] = environment["PATH"]
    os.execvpe(command[0], command, environment)  # noqa: S606  # no shell: the words are the user's command


def _image(args: argparse.Namespace) -> int:
    for tar in args.tars:
        say(Lab.current().load_image(tar).strip())
    return 0


def _logs(args: argparse.Namespace) -> int:
    state = State.current()
    folder = state.logs if state.logs.exists() else state.last_logs
    file = folder / f"{args.component}.log"
    if not file.exists():
        known = ", ".join(sorted(entry.stem for entry in folder.glob("*.log")))
        raise LabError(f"no log of {args.component!r}; there are {known or 'none'}")
    return subprocess.run(["tail", "-n", str(args.lines), str(file)], check=False).returncode


def _stop(args: argparse.Namespace) -> int:
    Lab.current().stop(args.component)
    return 0


def _start(args: argparse.Namespace) -> int:
    Lab.current().start(args.component)
    return 0


def _build(args: argparse.Namespace) -> int:
    builds.build(args.modules or list(builds.MODULES))
    return 0


def _supervise(args: argparse.Namespace) -> int:
    supervise(args.root)
