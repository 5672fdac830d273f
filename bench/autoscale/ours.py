"""Our policy, through the code that is shipped: readings, tracks, what is learned, need and decision."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bench.autoscale.engine import KV_TOKENS, SEQUENCES_MAX, STEP_TOKENS
from bench.autoscale.fleet import PODS_MAX, TPOT_S, Seen, View
from llm_operator.core.scaling.capacity import Learned, Limits, capacity
from llm_operator.core.scaling.decide import Decision, Fleet, Memory, Rules, decide
from llm_operator.core.scaling.load import Blind, Track, observe
from llm_operator.core.scaling.need import need
from llm_operator.core.scaling.sample import Counters, Most, Sample

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Limits(TPOT_S, SEQUENCES_MAX, STEP_TOKENS)
MOST = Most(SEQUENCES_MAX, STEP_TOKENS)


@dataclass
class BuiltIn:
    """Scrapes and decides every five seconds, as the operator does. It begins without anything learned."""

    startup_s: float
    rules: Rules = field(default_factory=lambda: Rules(1, PODS_MAX))
    interval_s: float = 5.0
    learned: Learned = field(default_factory=Learned)
    tracks: dict[str, Track] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    last: Decision | None = None

    def pods(self, view: View) -> int:
        """Return how many pods there are to be."""
        now = BEGAN + timedelta(seconds=view.now)
        samples = {str(each.pod): _sample(each, now) for each in view.ready}
        for uid, sample in samples.items():
            if uid in self.tracks:
                self.learned = self.learned.add(self.tracks[uid].last, sample)
        self.tracks = {uid: self.tracks[uid].hear(each) if uid in self.tracks else Track((each,)) for uid, each in samples.items()}
        able = capacity(self.learned, LIMITS)
        load = observe(self.tracks, samples.keys(), now, able)
        found = load if isinstance(load, Blind) else need([(load, able)], view.asked, self.startup_s, coming=view.pending_since is not None)
        pending = None if view.pending_since is None else timedelta(seconds=view.now - view.pending_since)
        fleet = Fleet(view.asked, pending, self.learned.calibrated)
        self.last, self.memory = decide(self.memory, self.rules, fleet, found, now)
        return self.last.replicas


def _sample(seen: Seen, now: datetime) -> Sample:
    counted = seen.counted
    requests, prompts, outputs = float(counted.requests), float(counted.prompt_sum), float(counted.output_sum)
    counters = Counters(
        prefill_tokens=counted.prefill_tokens,
        generated_tokens=counted.generated_tokens,
        steps=counted.steps,
        gaps=counted.gaps,
        gap_seconds=counted.gap_seconds,
        prompts=requests,
        prompt_sum=prompts,
        outputs=requests,
        output_sum=outputs,
    )
    return Sample(now, seen.running, seen.waiting, KV_TOKENS, counters, (float(seen.pod), 0.0), most=MOST)
