"""`python -m tests.lab.demo`: says what it will do, then does it."""

import argparse

from tests.lab.builds import BuildError
from tests.lab.demo import place
from tests.lab.demo.screen import Screen
from tests.lab.product import ProductError
from tests.lab.up import LabError
from tests.lab.wait import WaitTimeoutError

WHERE = {
    "lab": "build a single-node Kubernetes, the images and a tiny Llama (what is already built is reused), and start it",
    "kind": "build the images and a tiny Llama (what is already built is reused), and make or reuse a kind cluster",
    "current": "use the cluster kubectl points at, the images of a registry, and an S3 server in a pod",
}
PLAN = """\
llm-operator demo. It will
  1. {where}
  2. install the operator from its Helm chart
  3. apply examples/quickstart.yaml and wait until a real vLLM answers through the sidecar
  4. send the classic request, stream through the official openai client
  5. edit the prompt, and show that nothing was restarted"""


def main() -> None:
    """Run the demo where the arguments say."""
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--cluster", choices=WHERE, default="lab")
    parser.add_argument("--registry", default="", help="where CLUSTER=current pulls the images from")
    parser.add_argument("--accelerator", default="", help="resource name of the accelerator in CLUSTER=current, none by default")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--start", type=float, default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    try:
        _run(args, Screen(args.start))
    except (BuildError, LabError, ProductError, WaitTimeoutError) as error:
        raise SystemExit(f"\n{error}") from None


def _run(args: argparse.Namespace, screen: Screen) -> None:
    if args.inside:
        place.inside_lab(screen)
        return
    screen.line(PLAN.format(where=WHERE[args.cluster]))
    if args.cluster == "lab":
        place.in_lab(screen)
    elif args.cluster == "kind":
        place.in_kind(screen)
    else:
        place.in_current(screen, args.registry, args.accelerator)


if __name__ == "__main__":
    main()
