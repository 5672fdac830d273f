"""The stages one text of a stream goes through, with their policies: what they keep back, what they refuse, and when they are given up."""

import time
from dataclasses import dataclass

from llm_sidecar import json_text
from llm_sidecar.judging import Judging
from llm_sidecar.pipeline import Step
from llm_sidecar.policy import Refuse, Trouble, on_trouble
from llm_sidecar.stages import Allow, Block, BlockedError, Field, Modify, StreamFilter, Verdict


@dataclass(slots=True)
class _Link:
    step: Step
    filter: StreamFilter | None  # none once it was given up
    took_s: float = 0.0


class Chain:
    """One text of one choice. What raises here is a Refusal that ends the stream."""

    __slots__ = ("_judging", "_links", "_path")

    def __init__(self, steps: list[Step], field: Field, judging: Judging, path: str) -> None:
        self._links = [_Link(step, json_text.stream(step.stage, field)) for step in steps]
        self._judging = judging
        self._path = path

    def feed(self, text: str) -> str:
        """Return what can go to the client now."""
        for link in self._links:
            if link.filter is not None:
                text = self._run(link, link.filter, text, last=False)
        return text

    def finish(self) -> str:
        """Return what was kept back: the text has ended."""
        text = ""
        for link in self._links:
            if link.filter is not None:
                text = self._run(link, link.filter, text, last=True)
        return text

    def count(self) -> None:
        """Add to the figures what the stages took and found."""
        for link in self._links:
            found = tuple(link.filter.found) if link.filter is not None else ()
            verdict: Verdict = Modify("", found) if found and link.step.stage.hides else Allow(found)
            self._judging.streamed(link.step.policy, verdict, link.took_s)

    def _run(self, link: _Link, stage: StreamFilter, text: str, *, last: bool) -> str:
        held = stage.held
        trouble: Trouble
        began = time.perf_counter()
        try:
            out = stage.feed(text) if text or not last else ""
            if last:
                out += stage.finish()
        except BlockedError as blocked:
            return self._blocked(link, blocked.block, held + text)
        except TimeoutError:
            trouble = "timeout"
        except Exception as error:  # noqa: BLE001  # a stage that fails is a case of its policy, whatever it fails with
            self._judging.metrics.broke(link.step.policy.stage, error)
            trouble = "error"
        else:
            took_s = time.perf_counter() - began
            link.took_s += took_s
            if isinstance(out, str) and took_s <= link.step.policy.timeout_s:
                return out
            trouble = "timeout" if isinstance(out, str) else "garbage"
        return self._give_up(link, trouble, held + text)

    def _blocked(self, link: _Link, block: Block, text: str) -> str:
        """Raise the Refusal that follows, or let the text pass and be rid of the stage."""
        link.filter = None
        outcome = self._judging.weighed(link.step.policy, block)
        if isinstance(outcome, Refuse):
            raise self._judging.refuse(link.step.policy, outcome, self._path)
        return text

    def _give_up(self, link: _Link, trouble: Trouble, text: str) -> str:
        link.filter = None
        outcome = on_trouble(link.step.policy, trouble)
        if isinstance(outcome, Refuse):
            raise self._judging.refuse(link.step.policy, outcome, self._path)
        self._judging.bypass(link.step.policy.stage, outcome.reason)
        return text


class Chains:
    """All texts of one stream."""

    __slots__ = ("_judging", "_open", "_steps")

    def __init__(self, steps: tuple[Step, ...], judging: Judging) -> None:
        self._steps = steps
        self._judging = judging
        self._open: dict[tuple[int, str], Chain] = {}

    def feed(self, index: int, name: str, field: Field, text: str) -> str:
        """Return what of one text can go to the client now."""
        chain = self._open.get((index, name))
        if chain is None:
            steps = [step for step in self._steps if field in step.stage.reads]
            chain = self._open[index, name] = Chain(steps, field, self._judging, f"choices[{index}].{name}")
        return chain.feed(text)

    def finish(self, index: int) -> list[tuple[str, str]]:
        """End all texts of one choice; return what was kept back of each, by name."""
        rests = []
        for place in [place for place in self._open if place[0] == index]:
            rests.append((place[1], self._open[place].finish()))
            self._open.pop(place).count()
        return [(name, rest) for name, rest in rests if rest]

    @property
    def indexes(self) -> list[int]:
        """Return the choices that have begun and not ended."""
        return sorted({index for index, _ in self._open})

    def count(self) -> None:
        """Add to the figures what did not come to its end."""
        for chain in self._open.values():
            chain.count()
        self._open.clear()
