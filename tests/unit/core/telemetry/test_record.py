"""However replies, restarts and operators interleave, what was told is counted once."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.core.gates.evidence import Evidence, Totals
from llm_operator.core.gates.sums import BUCKETS
from llm_operator.core.telemetry.archive import Content, pack, unpack
from llm_operator.core.telemetry.record import MINUTE, Record, begin, fold
from llm_operator.core.telemetry.replies import Heard, Reply, read
from llm_sidecar.statistics import Statistics
from tests.properties import tried

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
ARMS = ("new", "old")


@dataclass
class Process:
    """A sidecar's process: the real sums, and how many requests of each arm it has counted when it was last asked."""

    statistics: Statistics = field(default_factory=lambda: Statistics("chat"))
    counted: Counter[str] = field(default_factory=Counter)
    heard: Counter[str] = field(default_factory=Counter)
    folded: Counter[str] = field(default_factory=Counter)

    def serve(self, arm: str, unit: int) -> None:
        self.statistics.record(arm, str(unit).encode(), failed=unit % 3 == 0, first_token_s=0.1 + unit / 7, prompt_tokens=unit + 1)
        self.counted[arm] += 1

    def reply(self) -> Reply:
        return read(self.statistics.expose(), "chat", ARMS)


@dataclass
class History:
    """Pods, and an operator that looks at them."""

    pods: list[Process] = field(default_factory=lambda: [Process(), Process()])
    ended: list[Process] = field(default_factory=list)
    told: list[tuple[int, Reply]] = field(default_factory=list)
    heard: dict[str, Heard] = field(default_factory=dict)
    now: datetime = BEGAN

    def __post_init__(self) -> None:
        for number, each in enumerate(self.pods):
            each.serve("old", number)  # before the rollout
            each.counted.clear()
            self.ask(number)
        self.record = begin("rollout", *ARMS, 0, self.heard, BEGAN)

    def hear(self, pod: int, reply: Reply) -> None:
        self.now += timedelta(seconds=1)
        known = self.heard.get(f"pod-{pod}") or Heard(BEGAN - timedelta(days=1) if pod < 2 else self.now, self.now)
        self.heard[f"pod-{pod}"] = known.hear(reply, self.now)

    def ask(self, pod: int) -> None:
        reply = self.pods[pod].reply()
        self.told.append((pod, reply))
        self.hear(pod, reply)
        self.pods[pod].heard = self.pods[pod].counted.copy()

    def ask_in_vain(self, which: int) -> None:
        """Hear once more what was told before, late or twice."""
        pod, reply = self.told[which % len(self.told)]
        if reply.epoch == self.pods[pod].statistics.epoch:
            self.hear(pod, reply)

    def restart(self, pod: int) -> None:
        self.ended.append(self.pods[pod])
        self.pods[pod] = Process()

    def fold(self) -> None:
        self.now += MINUTE
        self.record = fold(self.record, self.heard, [f"pod-{each}" for each in range(len(self.pods))], 0.5, self.now)
        kept = pack(self.record)
        assert kept
        assert unpack(kept) == self.record
        for each in (*self.pods, *self.ended):
            each.folded = each.heard.copy()

    def another_operator(self) -> None:
        """Begin from the record alone: what was heard since is lost, and of processes that are still there it is told again."""
        self.heard = {}
        for each in (*self.pods, *self.ended):
            each.heard = each.folded.copy()

    def expected(self) -> Counter[str]:
        return sum((each.folded for each in (*self.pods, *self.ended)), Counter[str]())


def counted(record: Record) -> Counter[str]:
    evidence = record.evidence
    return +Counter({"new": int(sum(evidence.canary.n)), "old": int(sum(evidence.stable.n))})


_pod = st.integers(0, 2)
_steps = st.lists(
    st.tuples(st.just("serve"), _pod, st.sampled_from(ARMS), st.integers(0, 20))
    | st.tuples(st.sampled_from(["ask", "restart"]), _pod)
    | st.tuples(st.just("ask_in_vain"), st.integers(0, 50))
    | st.tuples(st.sampled_from(["fold", "another_operator", "another_pod"])),
    max_size=30,
)


@tried(40)
@given(_steps)
def test_what_was_told_is_counted_once_whatever_happens_in_between(steps: list[tuple[str, ...]]) -> None:
    history = History()
    for name, *arguments in steps:
        pod = min(int(arguments[0]), len(history.pods) - 1) if arguments else 0
        match name:
            case "serve":
                history.pods[pod].serve(str(arguments[1]), int(arguments[2]))
            case "another_pod":
                if len(history.pods) < 3:
                    history.pods.append(Process())
            case "ask" | "restart":
                getattr(history, name)(pod)
            case "ask_in_vain":
                history.ask_in_vain(int(arguments[0]))
            case _:
                getattr(history, name)()
    for pod in range(len(history.pods)):
        history.ask(pod)
    history.fold()
    assert not history.record.evidence.fault
    assert counted(history.record) == history.expected()


@tried(20)
@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(ARMS), st.integers(0, 20), st.booleans()), max_size=40))
def test_who_asks_all_the_time_and_who_asks_once_count_the_same_sums_to_the_last_digit(served: list[tuple[int, str, int, bool]]) -> None:
    often, once = History(), History()
    once.pods = often.pods
    once.heard = dict(often.heard)
    once.record = replace(often.record)
    for pod, arm, unit, lost in served:
        often.pods[pod].serve(arm, unit)
        often.ask(pod)
        if lost:
            often.another_operator()
    for history in (often, once):
        for pod in (0, 1):
            history.ask(pod)
        history.now = BEGAN
        history.fold()
    assert often.record == once.record


def one(reply: Reply, created: datetime = BEGAN) -> dict[str, Heard]:
    return {"pod": Heard(created, BEGAN, (reply,))}


def minute(record: Record, heard: dict[str, Heard], share: float | None = 0.5, pods: Iterable[str] = ("pod",)) -> Record:
    return fold(record, heard, list(pods), share, record.until + MINUTE)


def test_a_pod_that_was_there_before_and_is_heard_late_counts_from_then_on() -> None:
    process = Process()
    process.serve("old", 1)
    record = minute(begin("rollout", *ARMS, 0, {}, BEGAN), one(process.reply(), BEGAN - MINUTE))
    assert not counted(record)
    process.serve("old", 2)
    assert counted(minute(record, one(process.reply(), BEGAN - MINUTE))) == {"old": 1}


def test_a_pod_that_came_later_counts_as_a_whole() -> None:
    process = Process()
    process.serve("new", 1)
    assert counted(minute(begin("rollout", *ARMS, 0, {}, BEGAN), one(process.reply(), BEGAN + MINUTE / 2))) == {"new": 1}


def test_an_answer_older_than_the_record_counts_for_nothing() -> None:
    process = Process()
    process.serve("old", 1)
    early = process.reply()
    process.serve("old", 2)
    record = begin("rollout", *ARMS, 0, one(process.reply()), BEGAN)
    assert not counted(minute(record, one(early)))
    process.serve("old", 3)
    assert counted(minute(minute(record, one(early)), one(process.reply()))) == {"old": 1}


def test_the_sums_of_a_pod_that_is_gone_stay_and_what_it_told_is_forgotten() -> None:
    process = Process()
    record = begin("rollout", *ARMS, 0, one(process.reply()), BEGAN)
    process.serve("old", 1)
    record = minute(record, one(process.reply()), pods=())
    assert (counted(record), len(record.counted)) == ({"old": 1}, 1)
    record = minute(record, {}, pods=())
    assert (counted(record), len(record.counted)) == ({"old": 1}, 0)


def test_a_revision_that_a_process_had_forgotten_counts_anew() -> None:
    process = Process()
    process.serve("new", 1)
    process.serve("new", 2)
    record = begin("rollout", *ARMS, 0, one(process.reply()), BEGAN)
    process.statistics.forget("new")
    record = minute(record, one(process.reply()))
    process.serve("new", 3)
    assert counted(minute(record, one(process.reply()))) == {"new": 1}


def test_sums_that_shrink_are_a_fault_and_no_negative_evidence() -> None:
    process = Process()
    process.serve("new", 1)
    full = process.reply()
    record = begin("rollout", *ARMS, 0, one(full), BEGAN)
    process.statistics.forget("new")
    process.serve("new", 9)
    lying = process.reply()
    sums = replace(lying.revisions["new"], life=full.revisions["new"].life)
    assert minute(record, one(Reply(full.epoch, "", {"new": sums}))).evidence.fault


def test_units_count_from_the_first_weight_on_and_not_while_it_changes() -> None:
    process = Process()
    process.serve("old", 1)
    record = begin("rollout", *ARMS, 0, one(process.reply()), BEGAN)
    record = minute(record, one(process.reply()), 0.0)
    process.statistics.assign("rollout")
    for unit in range(40):
        process.serve(ARMS[unit % 2], unit)
    record = minute(record, one(process.reply()), 0.5)
    assert (record.evidence.units.canary, record.evidence.units.stable) == (20, 20)
    for unit in range(40, 80):
        process.serve(ARMS[unit % 2], unit)
    record = minute(record, one(process.reply()), 0.75)
    assert record.evidence.units.canary == 20, "nobody knows by which of the weights they came"
    for unit in range(80, 120):
        process.serve(ARMS[unit % 2], unit)
    assert minute(record, one(process.reply()), 0.75).evidence.units.canary > 20


def test_units_of_another_assignment_are_none() -> None:
    process = Process()
    process.statistics.assign("an earlier rollout")
    process.serve("new", 1)
    record = minute(begin("rollout", *ARMS, 0, {}, BEGAN), one(process.reply()))
    assert record.evidence.units.canary == 0
    assert not any(record.seen)


def test_a_record_is_due_a_minute_after_the_last() -> None:
    record = begin("rollout", *ARMS, 0, {}, BEGAN)
    assert record.due_s(BEGAN) == 60
    assert minute(record, {}).due_s(BEGAN + MINUTE * 1.5) == 30


def full_pods(number: int) -> dict[str, Heard]:
    heard = {}
    for each in range(number):
        process = Process()
        for unit in range(BUCKETS * 8):
            process.serve(ARMS[unit % 2], unit * 1000 + each)
        heard[f"pod-{each}"] = Heard(BEGAN + MINUTE, BEGAN, (process.reply(),))
    return heard


def test_a_record_of_twenty_pods_fits_a_config_map_and_one_of_too_many_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    record = minute(begin("rollout", *ARMS, 0, {}, BEGAN), full_pods(2))
    kept = pack(record)
    assert kept
    size = len(kept["binaryData"]["record"])
    assert size < 900 * 1024 / 20 * 4 / 3 * 2
    monkeypatch.setattr("llm_operator.core.telemetry.archive.SIZE_MAX", size // 2)
    assert pack(record) is None


RECORD: Record = begin("rollout", *ARMS, 0, {}, BEGAN)
SHORT = replace(RECORD, evidence=Evidence(canary=Totals(n=(0.0,))))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: kept["data"].update(schemaVersion="2"),
        lambda kept: kept.pop("data"),
        lambda kept: kept["binaryData"].clear(),
        lambda kept: kept["binaryData"].update(record="%"),
        lambda kept: kept["binaryData"].update(record="AAAA"),
        lambda kept: kept["binaryData"].update(record=(pack(SHORT) or {})["binaryData"]["record"]),
    ],
)
def test_a_record_that_somebody_has_broken_is_none(spoil: Callable[[Content], object]) -> None:
    kept = pack(RECORD)
    assert kept
    assert unpack(kept) == RECORD
    spoil(kept)
    assert unpack(kept) is None
