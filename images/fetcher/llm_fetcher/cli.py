"""The commands ``resolve`` and ``fetch``."""

import argparse
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from llm_fetcher import fetch, source, termination
from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.listing import Listing
from llm_fetcher.progress import human
from llm_fetcher.source import S3Source, VolumeSource

log = logging.getLogger("llm_fetcher")

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def run(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Run one command and return its exit code; ``resolve`` also leaves its answer in the termination message."""
    given = _parser().parse_args(arguments)
    try:
        message, code = _resolve(given, env) if given.command == "resolve" else _fetch(given, env), 0
    except FetchError as error:
        message, code = termination.failed(error), 1
        log.info("%s", error)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a bug must still leave a reason where the operator looks, and a client's panic is no Exception
        log.exception("unexpected")
        message, code = termination.failed(FetchError(Reason.INTERNAL, f"unexpected {type(error).__name__}: see the container's log")), 1
    if given.command == "resolve" and not _answered(Path(env.get("TERMINATION_LOG", termination.DEFAULT_PATH)), message):
        return 1
    return code


def _answered(path: Path, message: str) -> bool:
    try:
        termination.write(path, message)
    except OSError as error:
        log.info("cannot write the answer to %s: %s", path, error.strerror)
        return False
    return True


def _resolve(given: argparse.Namespace, env: Mapping[str, str]) -> str:
    listing = _list(given, env)
    log.info("%s holds %d files, %s: %s", given.source, len(listing.entries), human(listing.size), listing.digest)
    return termination.resolved(listing)


def _list(given: argparse.Namespace, env: Mapping[str, str]) -> Listing:
    match source.parse(given.source):
        case S3Source() as bucket:
            return fetch.list_bucket(bucket, env, give_up_after_s=given.give_up_after)
        case VolumeSource() as claim:
            return fetch.list_volume(claim, _mounted(given))


def _fetch(given: argparse.Namespace, env: Mapping[str, str]) -> str:
    if not _DIGEST.fullmatch(given.digest):
        raise FetchError(Reason.SOURCE_INVALID, f"digest {given.digest!r} is not sha256: and 64 hexadecimal digits")
    match source.parse(given.source):
        case S3Source() as bucket:
            if given.target is None:
                raise FetchError(Reason.SOURCE_INVALID, f"{bucket} is copied: --target must name the directory")
            fetch.fetch_bucket(bucket, env, given.target, given.digest, parallel=given.parallel, give_up_after_s=given.give_up_after)
        case VolumeSource() as claim:
            fetch.verify_volume(claim, _mounted(given), given.digest)
    log.info("ready: %s", given.source)
    return ""


def _mounted(given: argparse.Namespace) -> Path:
    if given.path is None:
        raise FetchError(Reason.SOURCE_INVALID, f"{given.source} is used where it is mounted: --path must name that directory")
    return Path(given.path)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text} is no time to wait: give more than 0")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="llm_fetcher", description="Resolves and fetches the files of a model.")
    commands = parser.add_subparsers(dest="command", required=True)
    resolve = commands.add_parser("resolve", help="say what the source holds now, without downloading it")
    into = commands.add_parser("fetch", help="put exactly what was resolved into a directory")
    for command, patience_s in ((resolve, 60.0), (into, 300.0)):
        command.add_argument("--source", required=True, help="s3://bucket/prefix or pvc://claim/path")
        command.add_argument("--path", type=Path, help="where the volume of a pvc:// source is mounted")
        command.add_argument("--give-up-after", type=_seconds, default=patience_s, metavar="SECONDS", help="longest time without progress")
    into.add_argument("--digest", required=True, help="what resolve answered")
    into.add_argument("--target", type=Path, help="directory an s3:// source is copied to")
    into.add_argument("--parallel", type=int, default=8, choices=range(1, 65), metavar="N", help="files downloaded at once")
    return parser
