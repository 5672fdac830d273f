"""A prompt change on a real node: served by the pods that are there, at once. The engine is the stub."""

from collections.abc import Iterator

import pytest

from tests.e2e import kit, reports
from tests.e2e.manifests import deployment, prompt
from tests.lab.wait import until

NS = "llm-e2e"
SHORT = "Be brief."
LONG = "Be brief. Answer in plain words, name your sources, and never guess what you can not know."


@pytest.fixture(scope="module")
def chat(platform: None) -> Iterator[str]:  # noqa: ARG001  # the platform must be up first
    """One settled LLMDeployment with two pods; its address."""
    kit.apply(deployment("words", replicas=2, prompt={"inline": {"system": SHORT}}), namespace=NS)
    kit.wait_settled("words", NS, replicas=2)
    yield kit.address("words", NS)
    kit.kubectl("-n", NS, "delete", "llm", "words", "--ignore-not-found", "--wait=true")


def _prompt_tokens(host: str) -> int:
    return int(kit.chat(host, model="words", max_tokens=2).json()["usage"]["prompt_tokens"])


def test_a_prompt_edit_restarts_nothing_and_moves_the_prompt_tokens(chat: str) -> None:
    kit.apply(deployment("words", replicas=2, prompt={"inline": {"system": SHORT}}), namespace=NS)
    kit.wait_settled("words", NS, replicas=2)
    before, tokens_before = kit.pods_of("words", NS), _prompt_tokens(chat)
    revision = kit.llm("words", NS)["status"]["stable"]["revision"]
    with kit.Load(chat, every_s=0.05, model="words") as load:
        kit.apply(deployment("words", replicas=2, prompt={"inline": {"system": LONG}}), namespace=NS)
        kit.seconds_until(
            lambda: kit.chat(chat, model="words", max_tokens=2).headers["x-llm-revision"] != revision,
            timeout_s=20,
            what="prompt edit answered by a pod",
        )
        now = kit.wait_settled("words", NS, replicas=2)
    after = kit.pods_of("words", NS)
    assert {pod["metadata"]["uid"] for pod in after} == {pod["metadata"]["uid"] for pod in before}
    assert set(kit.each_restart(after)) == {0}
    assert load.failures == []
    assert set(load.revisions) == {revision, now["status"]["stable"]["revision"]}
    assert _prompt_tokens(chat) - tokens_before == len(LONG) - len(SHORT)  # the stub counts a character as a token
    assert (
        now["status"]["stable"]["engine"]
        == kit.items("deployments", NS, "llmops.dev/deployment=words")[0]["metadata"]["labels"]["llmops.dev/engine"]
    )


def test_a_stream_keeps_the_prompt_it_began_with(chat: str) -> None:
    pods = kit.pods_of("words", NS)
    stream = kit.Stream(chat, tokens=600, model="words").start()
    kit.apply(deployment("words", replicas=2, prompt={"inline": {"system": SHORT + " Be kind."}}), namespace=NS)
    # The pods are asked and not kubectl: of a busy machine its looks take seconds, and the stream is open for fifteen.
    until(lambda: all(reports.status(pod)["revision"] != stream.revision for pod in pods), timeout_s=60, what="both pods on the change")
    assert stream.running, "the stream ended before the change was live: it proves nothing"
    assert stream.finish().error == ""
    now = kit.wait_settled("words", NS, replicas=2)
    assert stream.revision != now["status"]["stable"]["revision"]


def test_a_referenced_prompt_moves_only_as_its_policy_says(chat: str) -> None:  # noqa: ARG001
    kit.apply(prompt("house-style", system=SHORT), namespace=NS)
    follow: kit.Object = {"prompt": {"inline": None, "ref": {"name": "house-style"}, "updatePolicy": "Rollout"}}
    notify: kit.Object = {"prompt": {"inline": None, "ref": {"name": "house-style"}, "updatePolicy": "Notify"}}
    kit.apply(deployment("follows", **follow), deployment("waits", **notify), namespace=NS)
    follows = kit.wait_settled("follows", NS)["status"]["stable"]["revision"]
    waits = kit.wait_settled("waits", NS)["status"]["stable"]["revision"]
    kit.apply(prompt("house-style", system=LONG), namespace=NS)
    until(lambda: kit.llm("follows", NS)["status"]["stable"]["revision"] != follows, timeout_s=30, what="the follower on the new prompt")
    until(lambda: kit.condition(kit.llm("waits", NS), "UpdateAvailable").get("status") == "True", timeout_s=30, what="the other one told")
    assert kit.llm("waits", NS)["status"]["stable"]["revision"] == waits
    assert sorted(kit.get("llmprompt", "house-style", NS)["status"]["usedBy"]) == ["follows", "waits"]  # type: ignore[index]  # applied above
    kit.kubectl("-n", NS, "delete", "llm", "follows", "waits", "--wait=false")
