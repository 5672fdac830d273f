import copy
from typing import Any

import pytest

from llm_operator.core import kinds, names
from llm_operator.core.kinds import Kind
from llm_operator.shell.inbox import Inbox
from llm_operator.shell.news import Hint, Seen, hint, key_of
from llm_operator.shell.queue import Key

CHAT = Key("LLMDeployment", "ns", "chat")
Object = dict[str, Any]


def live(kind: Kind, version: str = "5", **content: Any) -> Object:
    metadata = {"name": "chat-x", "namespace": "ns", "uid": f"{kind.kind}-1", "resourceVersion": version, **content.pop("metadata", {})}
    return {"metadata": metadata, **content}


def pod(version: str = "5", *, metadata: Object | None = None, **status: Any) -> Object:
    return live(kinds.POD, version, metadata=metadata or {}, status={"phase": "Pending", **status})


def told(kind: Kind, body: Object, *, gone: bool = False) -> Hint:
    return hint(CHAT, kind, body, gone=gone)


def is_news(kind: Kind, known: Object | None, body: Object, *, gone: bool = False) -> bool:
    seen = Seen()
    if known is not None:
        seen.note(kind, known)
    return seen.is_news(told(kind, body, gone=gone))


@pytest.mark.parametrize(("version", "news"), [("4", False), ("5", False), ("6", True), ("10", True), ("x", True)])
def test_a_version_that_was_read_or_one_before_it_is_no_news(version: str, news: bool) -> None:
    assert is_news(kinds.SERVICE, live(kinds.SERVICE), live(kinds.SERVICE, version)) is news


def test_an_object_nobody_has_read_is_news() -> None:
    assert is_news(kinds.SERVICE, None, live(kinds.SERVICE))


def test_what_the_deployment_controller_counts_is_no_news() -> None:
    before = live(kinds.DEPLOYMENT, metadata={"generation": 1})
    after = live(kinds.DEPLOYMENT, "9", metadata={"generation": 1}, status={"replicas": 1, "conditions": [available()]})
    assert not is_news(kinds.DEPLOYMENT, before, after)


def available() -> Object:
    return {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable", "message": "…"}


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"generation": 2}},
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"annotations": {"a": "b"}}},
        {"metadata": {"ownerReferences": []}},
        {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
        {"status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}]}},
        {"status": {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}},
    ],
    ids=str,
)
def test_whatever_else_a_plan_reads_of_a_deployment_is_news(change: Object) -> None:
    owned = {"generation": 1, "labels": {"app": "x"}, "ownerReferences": [{"uid": "u"}]}
    before = live(kinds.DEPLOYMENT, metadata=owned)
    after = copy.deepcopy(before)
    after["metadata"] |= {"resourceVersion": "9", **change.get("metadata", {})}
    after["status"] = change.get("status", {})
    assert is_news(kinds.DEPLOYMENT, before, after)


def test_a_pod_that_was_only_made_or_placed_is_no_news() -> None:
    assert not is_news(kinds.POD, None, pod())
    assert not is_news(kinds.POD, None, pod(conditions=[{"type": "PodScheduled", "status": "True"}]))


@pytest.mark.parametrize(
    "status",
    [
        {"conditions": [{"type": "PodScheduled", "status": "False", "message": "no node"}]},
        {"containerStatuses": [{"name": "engine", "state": {"waiting": {"reason": "ContainerCreating"}}}]},
        {"phase": "Running", "podIP": "10.0.0.1"},
        {"phase": "Failed"},
    ],
    ids=str,
)
def test_what_becomes_of_a_pod_is_news(status: Object) -> None:
    assert is_news(kinds.POD, pod(), pod("9", **status))


def test_a_pod_that_is_ready_or_is_not_any_more_is_news() -> None:
    ready = [{"type": "Ready", "status": "True"}]
    assert is_news(kinds.POD, pod(phase="Running"), pod("9", phase="Running", conditions=ready))
    assert is_news(kinds.POD, pod(phase="Running", conditions=ready), pod("9", phase="Running"))


def test_a_nudge_is_no_news() -> None:
    nudged = pod("9", phase="Running", metadata={"annotations": {names.ANNOTATION_GENERATION: "2"}})
    assert not is_news(kinds.POD, pod(phase="Running"), nudged)


def resolver(version: str, state: Object, phase: str = "Pending") -> Object:
    owner = {"ownerReferences": [{"kind": "Job", "uid": "j"}]}
    return pod(version, metadata=owner, phase=phase, containerStatuses=[{"name": "resolve", "state": state}])


@pytest.mark.parametrize(
    ("state", "news"),
    [
        ({"waiting": {"reason": "ContainerCreating"}}, False),
        ({"running": {}}, False),
        ({"waiting": {"reason": "ErrImagePull"}}, True),
        ({"terminated": {"exitCode": 0, "message": "{}"}}, True),
    ],
    ids=str,
)
def test_of_a_resolver_matters_how_it_ends_or_what_keeps_it_from_running(state: Object, news: bool) -> None:
    assert is_news(kinds.POD, None, resolver("5", state)) is news


def test_a_deletion_is_news_but_not_that_of_a_resolvers_pod() -> None:
    assert is_news(kinds.SERVICE, live(kinds.SERVICE), live(kinds.SERVICE, "5"), gone=True)
    assert not is_news(kinds.POD, None, resolver("5", {"terminated": {"exitCode": 0}}), gone=True)


def test_that_a_resolvers_pod_goes_is_no_news() -> None:
    answered = resolver("5", {"terminated": {"exitCode": 0}}, phase="Succeeded")
    going = copy.deepcopy(answered)
    going["metadata"] |= {"resourceVersion": "9", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert not is_news(kinds.POD, answered, going)
    assert is_news(kinds.POD, pod(phase="Running"), pod("9", phase="Running", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}))


# Whose it is


def body(name: str, labels: dict[str, str] | None = None) -> Object:
    return {"metadata": {"name": name, "namespace": "ns", **({"labels": labels} if labels else {})}}


@pytest.mark.parametrize("kind", kinds.CUSTOM, ids=lambda kind: kind.kind)
def test_a_custom_resource_is_its_own_key(kind: Kind) -> None:
    assert key_of(kind, body("chat")) == Key(kind.kind, "ns", "chat")


def test_a_child_says_by_label_whose_it_is() -> None:
    assert key_of(kinds.SERVICE, body("chat-x", {"llmops.dev/deployment": "chat"})) == Key("LLMDeployment", "ns", "chat")


def test_a_child_that_lost_the_label_says_by_its_owner_whose_it_is() -> None:
    stripped = body("chat-x")
    stripped["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "other"}, {"kind": "LLMDeployment", "name": "chat"}]
    assert key_of(kinds.SERVICE, stripped) == Key("LLMDeployment", "ns", "chat")


def test_an_object_without_the_label_is_nobodys() -> None:
    assert key_of(kinds.SERVICE, body("chat-x")) is None


# The inbox


class Queue:
    """Records which keys are to be looked at."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.seen = Seen()
        self.inbox = Inbox(lambda key, _: self.keys.append(key), self.seen)

    def hear(self, kind: Kind, body: Object, *, gone: bool = False) -> None:
        self.inbox.hear(told(kind, body, gone=gone))


def test_a_look_is_told_of_which_kinds_there_is_news() -> None:
    queue = Queue()
    queue.hear(kinds.SERVICE, live(kinds.SERVICE))
    queue.hear(kinds.POD, pod(phase="Running"))
    assert set(queue.keys) == {CHAT}
    assert queue.inbox.begin(CHAT) == frozenset({kinds.SERVICE, kinds.POD})
    assert queue.inbox.begin(CHAT) == frozenset()


def test_what_a_look_has_read_or_written_itself_leads_to_no_other() -> None:
    queue = Queue()
    queue.inbox.begin(CHAT)
    queue.hear(kinds.SERVICE, live(kinds.SERVICE, "7"))  # the watch may be faster than the answer
    queue.seen.note(kinds.SERVICE, live(kinds.SERVICE, "7"))
    queue.inbox.end(CHAT)
    queue.hear(kinds.SERVICE, live(kinds.SERVICE, "7"))
    assert queue.keys == []


def test_what_changes_under_a_look_leads_to_another() -> None:
    queue = Queue()
    queue.inbox.begin(CHAT)
    queue.seen.note(kinds.SERVICE, live(kinds.SERVICE, "7"))
    queue.hear(kinds.SERVICE, live(kinds.SERVICE, "8"))
    queue.inbox.end(CHAT)
    assert queue.keys == [CHAT]
    assert queue.inbox.begin(CHAT) == frozenset({kinds.SERVICE})


@pytest.mark.parametrize("doubtful", [True, False])
def test_after_a_failure_or_when_asked_to_everything_is_read(doubtful: bool) -> None:
    queue = Queue()
    if doubtful:
        queue.inbox.doubt(CHAT)
    else:
        queue.inbox.ask(CHAT)
    queue.hear(kinds.SERVICE, live(kinds.SERVICE))
    assert queue.inbox.begin(CHAT) is None


def test_what_belonged_to_a_deployment_that_is_gone_is_no_news_until_there_is_a_new_one() -> None:
    queue = Queue()
    queue.inbox.absent(CHAT)
    queue.hear(kinds.SERVICE, live(kinds.SERVICE), gone=True)
    queue.hear(kinds.LLM_DEPLOYMENT, live(kinds.LLM_DEPLOYMENT), gone=True)
    assert queue.keys == []
    queue.hear(kinds.LLM_DEPLOYMENT, live(kinds.LLM_DEPLOYMENT, "9"))
    queue.hear(kinds.SERVICE, live(kinds.SERVICE))
    assert queue.keys == [CHAT, CHAT]


def test_hints_can_be_kept_for_later() -> None:
    queue = Queue()
    queue.inbox.hold()
    queue.hear(kinds.SERVICE, live(kinds.SERVICE))
    assert queue.keys == []
    queue.inbox.release()
    assert queue.keys == [CHAT]


def test_answers_may_not_be_from_before_what_was_told_whether_it_was_news_or_not() -> None:
    queue = Queue()
    assert queue.seen.not_before(kinds.POD) == ""
    queue.seen.note(kinds.POD, pod("7"))
    for version in ("7", "5", "x"):
        queue.hear(kinds.POD, pod(version))
    assert queue.seen.not_before(kinds.POD) == "x", "what cannot be compared is taken as it comes"
    queue.hear(kinds.SERVICE, live(kinds.SERVICE, "9"))
    queue.hear(kinds.SERVICE, live(kinds.SERVICE, "8"))
    assert queue.seen.not_before(kinds.SERVICE) == "9"


def test_doubts_end_with_a_look_that_was_of_the_present() -> None:
    seen = Seen()
    seen.hear(told(kinds.POD, pod("7")))
    seen.doubt(0)
    seen.trust()
    seen.doubt(61)
    assert seen.not_before(kinds.POD) == "7"
    seen.doubt(122)
    assert seen.not_before(kinds.POD) == ""
