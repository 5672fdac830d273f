"""What the demo does once a cluster is there: apply, ask, edit the prompt, ask again."""

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from tokenizers import Tokenizer

from tests.lab import product
from tests.lab.demo.screen import Screen
from tests.lab.images import model
from tests.lab.wait import until

NAMESPACE = "llm-demo"
NAME = "chat"
CLASSIC = {"prompt": "The quick brown fox", "max_tokens": 100, "temperature": 0.7, "top_p": 0.9, "stop": ["\n"]}
NEW_SYSTEM = "You are a patient teacher. Explain every answer with one example from daily life."
READY_S = 900


@dataclass(frozen=True)
class Usage:
    """What one answer was made with."""

    revision: str
    prompt_tokens: int


def kubectl(*args: str) -> str:
    """Run kubectl in the demo's namespace."""
    return product.run("kubectl", "-n", NAMESPACE, *args)


def apply_quickstart(screen: Screen) -> None:
    """Apply the quickstart example and wait until it serves, telling each change of phase."""
    kubectl("apply", "-f", str(product.REPO / "examples/quickstart.yaml"))
    said = ""

    def serves() -> bool:
        nonlocal said
        status = _llm().get("status", {})
        line = f"{status.get('phase', 'Pending')}: {status.get('message', '')}".strip()
        if line != said:
            said = line
            screen.note(line)
        return _settled()

    until(serves, timeout_s=READY_S, what="the quickstart to serve", interval_s=0.5)


def ask_classic(screen: Screen, base: str) -> None:
    """Send the classic request and print it with its answer."""
    screen.note(f"POST /generate {json.dumps(CLASSIC)}")
    request = urllib.request.Request(f"{base}/generate", json.dumps(CLASSIC).encode(), {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310  # our own http address
        text = answer.read().decode()
    screen.note(text)
    assert isinstance(json.loads(text)["text"][0], str), "this is no classic answer"


def ask_openai(screen: Screen, base: str) -> None:
    """Ask the same model through the official client, streaming."""
    import openai  # noqa: PLC0415  # takes longer to import than everything else together

    with openai.OpenAI(base_url=f"{base}/v1", api_key="unused", timeout=120) as client:
        messages: Any = [{"role": "user", "content": "What is an operator?"}]
        stream = client.chat.completions.create(model=NAME, messages=messages, max_tokens=24, stream=True)
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    screen.note(f"{len(pieces)} events: {''.join(pieces)!r}")


def edit_prompt(screen: Screen, base: str) -> None:
    """Change the system prompt and show that a pod answers with it: another revision, other tokens, the same pods."""
    before, pods = _ask(base), _pods()
    example = yaml.safe_load((product.REPO / "examples/quickstart.yaml").read_text())
    old = example["spec"]["prompt"]["inline"]["system"]
    example["spec"]["prompt"]["inline"]["system"] = NEW_SYSTEM
    product.apply(example, namespace=NAMESPACE)
    after = until(lambda: _changed(base, before.revision), timeout_s=60, what="the new prompt to be served")
    until(_settled, timeout_s=60, what="the deployment to settle")
    screen.note(f"system prompt: {len(old)} characters -> {len(NEW_SYSTEM)}")
    screen.note(f"x-llm-revision: {before.revision} -> {after.revision}")
    expected = _tokens(NEW_SYSTEM) - _tokens(old)
    screen.note(f"usage.prompt_tokens: {before.prompt_tokens} -> {after.prompt_tokens} (the texts differ by {expected:+d} tokens)")
    if after.prompt_tokens - before.prompt_tokens != expected:
        raise product.ProductError(f"prompt tokens moved by {after.prompt_tokens - before.prompt_tokens}, not by {expected}")
    if _pods() != pods:
        raise product.ProductError(f"pods changed under a prompt edit: {pods} -> {_pods()}")
    for uid, restarts in pods.items():
        screen.note(f"pod {uid}: still there, {restarts} restarts")


def _tokens(text: str) -> int:
    """Return how many tokens the model's own tokenizer makes of a text inside a message."""
    return len(Tokenizer.from_file(str(model.ensure() / "tokenizer.json")).encode(text, add_special_tokens=False).ids)


def _llm() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl("get", "llm", NAME, "-o", "json"))
    return found


def _settled() -> bool:
    found = _llm()
    status = found.get("status", {})
    conditions = {entry["type"]: entry["status"] for entry in status.get("conditions", [])}
    current = status.get("observedGeneration") == found["metadata"]["generation"]
    if current and conditions.get("Stalled") == "True":
        raise product.ProductError(f"{status.get('reason')}: {status.get('message')}")
    return bool(current and conditions.get("Ready") == "True" and conditions.get("Reconciling") == "False")


def _pods() -> Mapping[str, int]:
    found = json.loads(kubectl("get", "pods", "-l", f"llmops.dev/deployment={NAME},llmops.dev/serving=true", "-o", "json"))
    return {
        pod["metadata"]["uid"]: sum(
            status["restartCount"] for kind in ("initContainerStatuses", "containerStatuses") for status in pod["status"].get(kind, [])
        )
        for pod in found["items"]
    }


def _ask(base: str) -> Usage:
    body = {"model": NAME, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
    request = urllib.request.Request(f"{base}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310  # our own http address
        return Usage(answer.headers["x-llm-revision"], json.load(answer)["usage"]["prompt_tokens"])


def _changed(base: str, revision: str) -> Usage | None:
    now = _ask(base)
    return now if now.revision != revision else None
