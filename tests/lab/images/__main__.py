"""``python -m tests.lab.images build [NAME…]`` and ``list``."""

import argparse

from tests.lab.images.build import build, image_path, is_current
from tests.lab.images.catalog import targets
from tests.lab.say import say


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab.images", description="Container images of the lab, without registry or daemon."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build", help="build the images that are missing or outdated")
    builder.add_argument("names", nargs="*", metavar="NAME", help="images to build; all when none is named")
    commands.add_parser("list", help="list the images and whether they are up to date")
    arguments = parser.parse_args()
    if arguments.command == "build":
        build(arguments.names)
        return
    for target in targets().values():
        state = "up to date" if is_current(target) else "outdated" if image_path(target.name).exists() else "missing"
        say(f"{target.name:12} {target.ref:28} {state:10} {image_path(target.name)}")


if __name__ == "__main__":
    main()
