"""The process that tries tenants' bundles out: reads one a line, answers one verdict a line, under limits it sets itself.

What it is given may be made to hurt. If it does, this process dies, and its parent reads from the signal what the matter was.
"""

import json
import resource
import sys

import msgspec

from llm_sidecar.bundle import BundleError, decode
from llm_sidecar.prompt_tests import PromptTest, check

CPU_S = 5
MEMORY_BYTES = 256 << 20
"""Together with the operator's own less than the chart lets its container use: beyond that, the kernel would end the operator."""


class Question(msgspec.Struct):
    """A bundle as it is delivered, and the tests of its prompt."""

    bundle: msgspec.Raw
    tests: tuple[PromptTest, ...] = ()


_question = msgspec.json.Decoder(Question)


def verdict(line: bytes) -> dict[str, str]:
    """Return what is wrong with a bundle, empty when nothing is."""
    try:
        asked = _question.decode(line)
        check(decode(bytes(asked.bundle)), asked.tests)
    except BundleError as error:
        return {"field": error.field, "message": error.message}
    except MemoryError:
        return {"field": "", "message": f"needs more than {MEMORY_BYTES >> 20} MiB of memory"}
    return {}


def main() -> None:
    """Answer until the parent closes the pipe."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    for line in sys.stdin.buffer:
        used = resource.getrusage(resource.RUSAGE_SELF)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_S, hard))
        sys.stdout.write(json.dumps(verdict(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
