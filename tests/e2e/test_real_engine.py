"""The real vLLM on CPU behind the same engine profile a GPU one would use, asked by the official client."""

import re
import shutil
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.e2e import figures, kit
from tests.e2e import platform as platform_of
from tests.e2e.changing import Subject, change_under_load
from tests.e2e.manifests import deployment
from tests.e2e.volumes import shared_folder
from tests.lab.images import model
from tests.lab.wait import until

pytestmark = [pytest.mark.takes_minutes, pytest.mark.timeout(900)]

NS = "llm-e2e"
ROADS: dict[str, dict[str, Any]] = {
    "steps": {"steps": ({"weightPercent": 10, "minDuration": "5s"}, {"weightPercent": 50, "minDuration": "5s"})},
    "surge": {},
    "replace": {"replaces": True},
}
READY_S = 400  # 30 s on a quiet machine, five times that on a busy one, and the image's first unpacking


@pytest.fixture(scope="module")
def vllm(platform: None) -> Iterator[str]:  # noqa: ARG001  # the platform must be up first
    """One settled LLMDeployment on the real engine; its address."""
    platform_of.load_real_engine()
    kit.apply(deployment("real", profile="vllm"), namespace=NS)
    kit.wait_settled("real", NS, timeout_s=READY_S)
    yield kit.address("real", NS)
    kit.kubectl("-n", NS, "delete", "llm", "real", "--wait=true")


@pytest.fixture
def client(vllm: str) -> Iterator[openai.OpenAI]:
    """The official client pointed at the sidecar."""
    with openai.OpenAI(base_url=f"http://{vllm}:8080/v1", api_key="unused", timeout=120, max_retries=0) as made:
        yield made


def test_the_classic_generate_request(vllm: str) -> None:
    body = {"prompt": "The quick brown fox", "max_tokens": 100, "temperature": 0.7, "top_p": 0.9, "stop": ["\n"]}
    answer = kit.request(vllm, "POST", "/generate", body)
    assert answer.status == 200, answer.body
    assert list(answer.json()) == ["text"]
    assert len(answer.json()["text"]) == 1
    assert answer.json()["text"][0].startswith("The quick brown fox")


def test_a_prompt_edit_moves_the_real_engine_s_prompt_tokens(client: openai.OpenAI) -> None:
    def tokens() -> int:
        answer = client.chat.completions.create(model="real", messages=[{"role": "user", "content": "hello"}], max_tokens=2)
        assert answer.usage is not None
        return answer.usage.prompt_tokens

    before, pods = tokens(), {pod["metadata"]["uid"] for pod in kit.pods_of("real", NS)}
    kit.apply(
        deployment("real", profile="vllm", prompt={"inline": {"system": "Speak like a pirate, and keep every answer short."}}), namespace=NS
    )
    kit.wait_settled("real", NS)
    assert tokens() != before
    assert {pod["metadata"]["uid"] for pod in kit.pods_of("real", NS)} == pods
    assert set(kit.each_restart(kit.pods_of("real", NS))) == {0}


def test_a_prompt_of_the_real_engine_is_promoted_by_steps(vllm: str) -> None:
    pods = {pod["metadata"]["uid"] for pod in kit.pods_of("real", NS)}
    steps = {"config": {"steps": [{"weightPercent": 50, "minDuration": "5s"}]}}
    before = kit.llm("real", NS)["status"]["stable"]["revision"]
    with kit.Load(vllm, every_s=0.3, model="real") as load:
        kit.apply(deployment("real", profile="vllm", prompt={"inline": {"system": "Count."}}, rollout=steps), namespace=NS)
        now = kit.wait_settled("real", NS)["status"]
    assert now["stable"]["revision"] != before
    shares = [each["weight"] for each in now["history"] if each["revision"] == now["stable"]["revision"]]
    assert (shares[0], 50 in shares, shares[-1]) == (0, True, 100)
    assert load.failures == []
    assert {pod["metadata"]["uid"] for pod in kit.pods_of("real", NS)} == pods


def test_stages_act_on_what_the_real_engine_reads_and_writes(client: openai.OpenAI) -> None:
    def ask(text: str, **more: Any) -> Any:
        return client.chat.completions.create(model="real", messages=[{"role": "user", "content": text}], max_tokens=24, **more)

    pods = {pod["metadata"]["uid"] for pod in kit.pods_of("real", NS)}
    words = {"stage": "blocklist", "patterns": [{"name": "word", "re2": "[A-Za-z]{1,64}"}], "action": "Redact"}
    stages = {"request": [{"stage": "pii", "entities": ["email"]}], "response": [words]}
    kit.apply(deployment("real", profile="vllm", pipeline=stages), namespace=NS)
    kit.wait_settled("real", NS)
    hidden, shown = ask("write to jane@example.com "), ask("write to <email> ")
    assert hidden.usage.prompt_tokens == shown.usage.prompt_tokens
    whole = ask("hello", temperature=0).choices[0].message.content
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in ask("hello", temperature=0, stream=True))
    assert streamed == whole
    assert not re.search("[A-Za-z]", whole.replace("<word>", ""))
    assert {pod["metadata"]["uid"] for pod in kit.pods_of("real", NS)} == pods


@pytest.mark.parametrize("stream", [False, True])
def test_the_real_engine_writes_to_the_schema_of_the_pipeline(client: openai.OpenAI, stream: bool) -> None:
    answer = {"stage": "schema", "schema": {"type": "string", "enum": ["yes", "no"]}}
    kit.apply(deployment("real", profile="vllm", pipeline={"response": [answer]}), namespace=NS)
    kit.wait_settled("real", NS)
    body: dict[str, Any] = {"model": "real", "messages": [{"role": "user", "content": "Is it?"}], "max_tokens": 24}
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**body, stream=True))
    else:
        text = client.chat.completions.create(**body).choices[0].message.content or ""
    assert text in {'"yes"', '"no"'}
    with pytest.raises(openai.BadRequestError, match="schema of answers"):
        client.chat.completions.create(**body, response_format={"type": "text"})


@pytest.mark.usefixtures("vllm")
@pytest.mark.parametrize("road", list(ROADS) if figures.SOAK else ["steps"])
def test_an_engine_edit_of_the_real_engine_loses_nothing(road: str) -> None:
    subject = Subject("real", profile="vllm", **ROADS[road])
    subject.apply()
    kit.wait_settled("real", NS, timeout_s=READY_S)
    outcome = change_under_load(subject, rps=20 if figures.SOAK else 4, streams=30 if figures.SOAK else 4)
    assert outcome.accelerators == (1 if subject.replaces else 2)
    assert (outcome.waiting > 0) == subject.replaces
    now = kit.llm("real", NS)["status"]
    states = {each["state"] for each in now.get("history", ()) if each["revision"] == now["stable"]["revision"]}
    assert "Stepping" in states or not subject.steps


@pytest.fixture(scope="module")
def weights(platform: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[kit.Object]:  # noqa: ARG001  # the platform must be up first
    """The model in a folder of a volume of the namespace."""
    folder = tmp_path_factory.mktemp("volume") / "weights"
    shutil.copytree(model.ensure(), folder / "tiny")
    kit.apply(*shared_folder(folder, NS, "weights"), namespace=NS)
    yield {"source": "pvc://weights/tiny", "credentials": None}
    kit.kubectl("-n", NS, "delete", "pvc/weights", "pv/weights", "--wait=false")


def test_a_path_that_a_volume_does_not_have_is_told_of(weights: kit.Object) -> None:
    """The kubelet makes the folder on a volume that may be written to, so it is one without files."""
    source = "pvc://weights/no-such-folder"
    kit.apply(deployment("nowhere", model={**weights, "source": source}), namespace=NS)
    until(lambda: kit.condition(kit.llm("nowhere", NS), "Resolved").get("status") == "False", timeout_s=120, what="Resolved=False")
    assert f"{source} holds no files" in kit.condition(kit.llm("nowhere", NS), "Resolved")["message"]
    assert not kit.items("deployments", NS, "llmops.dev/deployment=nowhere")
    kit.kubectl("-n", NS, "delete", "llm", "nowhere", "--wait=false")


def test_the_real_engine_is_woken_by_a_request_that_waits_for_it_and_reads_its_weights_from_a_volume(weights: kit.Object) -> None:
    platform_of.load_real_engine()
    autoscaling = {"mode": "BuiltIn", "minReplicas": 0, "maxReplicas": 1}
    kit.apply(deployment("cold", profile="vllm", model=weights, replicas=0, autoscaling=autoscaling), namespace=NS)
    kit.kubectl("-n", NS, "wait", "llm/cold", "--for=condition=Ready", "--timeout=180s")
    assert kit.llm("cold", NS)["status"]["phase"] == "ScaledToZero"
    began = time.monotonic()
    with openai.OpenAI(base_url=f"http://{kit.address('cold', NS)}:8080/v1", api_key="unused", timeout=READY_S, max_retries=0) as client:
        asked = client.chat.completions.create(model="cold", messages=[{"role": "user", "content": "hello"}], max_tokens=4, stream=True)
        chunks = [chunk.choices[0] for chunk in asked if chunk.choices]
    figures.record("real_engine_from_zero", answered_s=time.monotonic() - began)
    assert chunks[-1].finish_reason in {"length", "stop"}
    (pod,) = kit.pods_of("cold", NS)
    assert {"name": "model", "persistentVolumeClaim": {"claimName": "weights", "readOnly": True}} in pod["spec"]["volumes"]
    kit.kubectl("-n", NS, "delete", "llm", "cold", "--wait=false")
