"""Everything that is built before the lab can run, the images beside the programs: compilers wait for cores, images for the network."""

import subprocess
import sys
from collections.abc import Sequence


def build_everything(programs: Sequence[str] = (), images: Sequence[str] = ()) -> None:
    """Build programs and images at the same time; what fails has said why, and the exit says which half it was."""
    commands = {
        "programs": [sys.executable, "-m", "tests.lab", "build", *programs],
        "images": [sys.executable, "-m", "tests.lab.images", "build", *images],
    }
    running = {name: subprocess.Popen(command) for name, command in commands.items()}
    failed = [name for name, process in running.items() if process.wait()]
    if failed:
        raise SystemExit(f"could not build {' and '.join(failed)}")


if __name__ == "__main__":
    build_everything()
