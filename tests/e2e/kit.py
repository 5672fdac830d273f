"""What the tests on a real node share: kubectl, requests, streams and waits. Runs inside the lab's network namespace."""

import http.client
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from tests.lab.wait import WaitTimeoutError, until
from tests.unit.sidecar.support.figures import total

Object = dict[str, Any]


def kubectl(*args: str, stdin: str | None = None, check: bool = True) -> str:
    """Run kubectl against the lab and return what it printed; a failure raises with its own words."""
    done = subprocess.run(["kubectl", *args], input=stdin, capture_output=True, text=True, check=False, timeout=300)
    if check and done.returncode:
        raise AssertionError(f"kubectl {' '.join(args)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def apply(*objects: Object, namespace: str) -> None:
    """Apply manifests as a user would."""
    kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def get(kind: str, name: str, namespace: str) -> Object | None:
    """Return one object, or None when there is none."""
    text = kubectl("-n", namespace, "get", kind, name, "-o", "json", "--ignore-not-found")
    return json.loads(text) if text else None


def items(kind: str, namespace: str, selector: str = "") -> list[Object]:
    """Return all objects of a kind that a selector matches."""
    found = json.loads(kubectl("-n", namespace, "get", kind, "-o", "json", *(["-l", selector] if selector else [])))
    return list(found["items"])


def condition(obj: Object | None, kind: str) -> Object:
    """Return one condition of an object, or an empty one."""
    conditions = ((obj or {}).get("status") or {}).get("conditions", [])
    return next((entry for entry in conditions if entry["type"] == kind), {})


def llm(name: str, namespace: str) -> Object:
    """Return an LLMDeployment that must be there."""
    found = get("llm", name, namespace)
    assert found is not None, f"LLMDeployment {namespace}/{name} is gone"
    return found


def pods_of(name: str, namespace: str) -> list[Object]:
    """Return the pods with an engine of one LLMDeployment that are not on their way out."""
    found = items("pods", namespace, f"llmops.dev/deployment={name},llmops.dev/serving=true,llmops.dev/engine")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def is_ready(pod: Object) -> bool:
    """Tell whether the kubelet calls a pod Ready."""
    return bool(condition(pod, "Ready").get("status") == "True")


def settled(name: str, namespace: str, replicas: int = 1) -> bool:
    """Tell whether an LLMDeployment serves what was last applied with that many ready replicas, and nothing is left to do."""
    now = llm(name, namespace)
    status = now.get("status", {})
    return bool(
        status.get("observedGeneration") == now["metadata"]["generation"]
        and condition(now, "Ready").get("status") == "True"
        and condition(now, "Reconciling").get("status") == "False"
        and status.get("stable", {}).get("revision") == status.get("latestRevision")
        and status.get("readyReplicas") == replicas
        and len(pods_of(name, namespace)) == replicas,
    )


def wait_settled(name: str, namespace: str, replicas: int = 1, timeout_s: float = 180) -> Object:
    """Wait until an LLMDeployment is settled and return it; a timeout says what it said last."""
    try:
        until(lambda: settled(name, namespace, replicas), timeout_s=timeout_s, what=f"{namespace}/{name} settled")
    except WaitTimeoutError as error:
        state = json.dumps(llm(name, namespace).get("status", {}), indent=1)
        pods = kubectl("-n", namespace, "get", "pods", "-o", "wide")
        raise AssertionError(f"{error}\n{state}\n{pods}") from error
    return llm(name, namespace)


def address(service: str, namespace: str) -> str:
    """Return the cluster IP of a Service."""
    found = get("service", service, namespace)
    assert found is not None, f"Service {namespace}/{service} is gone"
    return str(found["spec"]["clusterIP"])


@dataclass
class Answer:
    """One HTTP answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


def request(host: str, method: str, path: str, body: Any = None, *, port: int = 8080, timeout_s: float = 60, **headers: str) -> Answer:
    """Send one request on a connection of its own."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        data = None if body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.request(method, path, body=data, headers=sent)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def figure(host: str, name: str, *, port: int = 9090) -> float:
    """Return the sum of a metric over its labels, as a sidecar shows it; the engine's are among them."""
    return total(request(host, "GET", "/metrics", port=port).body.decode(), name)


def chat(host: str, text: str = "hello", **fields: Any) -> Answer:
    """Ask one chat question."""
    model = fields.pop("model", "chat")
    return request(host, "POST", "/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": text}], **fields})


@dataclass
class Stream:
    """One SSE chat stream read in a thread; ``error`` says what was wrong with it once it ended."""

    host: str
    tokens: int
    model: str = "chat"
    events: list[str] = field(default_factory=list)
    revision: str = ""
    error: str = ""
    started: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> "Stream":
        """Open the stream and wait for its first event."""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self.started.wait(60), f"no first event within 60 s: {self.error}"
        return self

    @property
    def running(self) -> bool:
        """Tell whether the stream is still open."""
        return self._thread is not None and self._thread.is_alive()

    def ended(self, *, within_s: float) -> bool:
        """Wait a little for the end of the stream, and tell whether it has come."""
        assert self._thread is not None
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def finish(self, timeout_s: float = 120) -> "Stream":
        """Wait for the end of the stream."""
        assert self.ended(within_s=timeout_s), f"the stream did not end within {timeout_s} s"
        return self

    def _read(self) -> None:
        connection = http.client.HTTPConnection(self.host, 8080, timeout=60)
        body = {
            "model": self.model,
            "stream": True,
            "max_tokens": self.tokens,
            "ignore_eos": True,
            "messages": [{"role": "user", "content": "stream"}],
        }
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
            answer = connection.getresponse()
            self.revision = answer.getheader("x-llm-revision") or ""
            if answer.status != 200:
                self.error = f"status {answer.status}: {answer.read()[:300]!r}"
                return
            for line in answer:
                if line.startswith(b"data: "):
                    self.events.append(line[6:].decode().strip())
                    self.started.set()
        except (OSError, http.client.HTTPException) as error:
            self.error = f"{type(error).__name__}: {error}"
        finally:
            connection.close()
            self.started.set()
        self._judge()

    def _judge(self) -> None:
        """Count as failed what a status code hides: a missing [DONE], an error in the stream, an abort."""
        if self.error:
            return
        if not self.events or self.events[-1] != "[DONE]":
            self.error = f"no [DONE] after {len(self.events)} events"
        elif any('"error"' in event for event in self.events):
            self.error = "an error event in the stream"
        elif any('"finish_reason":"abort"' in event.replace(" ", "") for event in self.events):
            self.error = "finish_reason abort"


@dataclass
class Load:
    """A steady trickle of short requests in a thread; ``failures`` holds everything that was not a whole 200."""

    host: str
    every_s: float = 0.1
    model: str = "chat"
    sent: int = 0
    failures: list[str] = field(default_factory=list)
    revisions: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(90)

    def _run(self) -> None:
        while not self._stop.wait(self.every_s):
            self.sent += 1
            try:
                answer = chat(self.host, model=self.model, max_tokens=4)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                continue
            self.revisions.append(answer.headers.get("x-llm-revision", ""))
            if answer.status != 200 or answer.json()["choices"][0]["finish_reason"] == "abort":
                self.failures.append(f"{answer.status}: {answer.body[:200]!r}")


def seconds_until(condition_met: Callable[[], bool], *, timeout_s: float, what: str) -> float:
    """Wait for a condition and return how long it took."""
    start = time.monotonic()
    until(condition_met, timeout_s=timeout_s, what=what)
    took = time.monotonic() - start
    print(f"{what}: {took:.1f} s")  # noqa: T201  # figures of the suite are part of its output
    return took


def stays(condition_met: Callable[[], bool], *, for_s: float, what: str) -> None:
    """Fail as soon as a condition is not met, or return when it was met for that long."""
    end = time.monotonic() + for_s
    pause = threading.Event()
    while time.monotonic() < end:
        assert condition_met(), f"no longer so after {for_s - (end - time.monotonic()):.1f} s: {what}"
        pause.wait(0.5)


def container_statuses(pod: Object) -> list[Object]:
    """Return what the kubelet tells of every container of a pod."""
    return [*pod["status"].get("initContainerStatuses", []), *pod["status"].get("containerStatuses", [])]


def each_restart(pods: list[Object]) -> Iterator[int]:
    """Yield the restart count of every container of every pod."""
    return (status["restartCount"] for pod in pods for status in container_statuses(pod))


def lab_value(name: str) -> str:
    """Return a setting the lab's exec put into the environment."""
    assert name in os.environ, f"{name} is not set: run these tests through `make e2e`, inside the lab"
    return os.environ[name]
