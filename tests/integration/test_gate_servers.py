"""Gates that a real Prometheus and a webhook answer, in rollouts against a real API server."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from llm_operator.core import kinds
from tests.fakes.objects import llm_deployment, operator_config
from tests.integration.operating import RunningOperator
from tests.integration.server import Server, condition
from tests.integration.stage import Stage
from tests.lab import prometheus
from tests.lab.wait import until

Object = dict[str, Any]

GATES: list[Object] = [
    {"promql": {"name": "cost", "query": 'cost{llm_revision="$revision"}', "maxValue": 2, "times": 2, "interval": "10s"}},
    {"webhook": {"name": "judge", "interval": "10s"}},
]
TOKEN = "let-me-in"


@dataclass
class Outside:
    """What is asked: metrics for Prometheus with a cost for each revision, and a webhook with a verdict for each."""

    costs: dict[str, float] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)
    asked: list[Object] = field(default_factory=list)
    port: int = 0

    def metrics(self) -> str:
        return "# TYPE cost gauge\n" + "".join(f'cost{{llm_revision="{name}"}} {value}\n' for name, value in self.costs.items())

    def judge(self, question: Object, token: str) -> tuple[int, Object]:
        if token != f"Bearer {TOKEN}":
            return 401, {}
        self.asked.append(question)
        verdict = self.verdicts.get(question["revision"], "Undecided")
        return 200, {"revision": question["revision"], "verdict": verdict, "message": f"{verdict}, as judged"}


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    found = Outside()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, "text/plain", found.metrics().encode())

        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = found.judge(question, self.headers.get("Authorization", ""))
            self._answer(status, "application/json", json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_revision_needs_the_figure_and_the_word_and_is_aborted_when_the_figure_is_out_of_bounds(
    server: Server, stage: Stage, spaces: Callable[[], str], account: str, outside: Outside, tmp_path: Path
) -> None:
    namespace = spaces()
    (tmp_path / "token").write_text(TOKEN)
    judge = {"url": f"http://127.0.0.1:{outside.port}/", "tokenFile": str(tmp_path / "token")}

    def status() -> Object:
        return server.status(namespace, "chat")

    def rollout() -> Object:
        found: Object = status().get("rollout", {})
        return found

    def gate(name: str) -> Object:
        return next((each for each in status().get("gates", ()) if each["name"] == name), {})

    def edit(text: str) -> str:
        server.merge(kinds.LLM_DEPLOYMENT, namespace, "chat", {"spec": {"prompt": {"inline": {"system": text}}}})
        until(lambda: rollout().get("reason") == "Stepping", timeout_s=90, what="requests for the new prompt")
        stage.serve(namespace, 300, failing="")
        return str(rollout()["revision"])

    with prometheus.running(tmp_path, f"127.0.0.1:{outside.port}") as address:
        gates = {"prometheus": {"url": address}, "webhooks": {"judge": judge}}
        with RunningOperator(operator_config(namespaces=[namespace], gates=gates), account):
            steps = {"config": {"steps": [{"weightPercent": 30}]}, "gates": GATES}
            server.create(llm_deployment("chat", namespace, replicas=2, rollout=steps), namespace)
            until(lambda: condition(status(), "Ready").get("status") == "True", timeout_s=60, what="chat serves")
            good = edit("Be brief.")
            until(lambda: "0 series" in gate("promql/cost").get("message", ""), timeout_s=120, what="a query without an answer")
            assert (gate("promql/cost")["verdict"], gate("promql/cost")["reason"]) == ("Undecided", "EvidenceMissing")
            outside.costs[good] = 1.5
            until(lambda: gate("promql/cost").get("verdict") == "Pass", timeout_s=120, what="a figure within bounds")
            assert gate("webhook/judge")["message"] == "Undecided, as judged"
            assert rollout()["state"] == "Stepping"
            outside.verdicts[good] = "Pass"
            until(lambda: rollout()["state"] == "Promoted", timeout_s=240, what="the promotion")
            assert outside.asked[-1]["weightPercent"] == 30
            outside.costs = {good: 1.5}
            server.merge(kinds.LLM_DEPLOYMENT, namespace, "chat", {"spec": {"prompt": {"inline": {"system": "Be verbose."}}}})
            until(lambda: status()["latestRevision"] != good, timeout_s=60, what="another revision")
            outside.costs[status()["latestRevision"]] = 2.5
            until(lambda: rollout()["state"] == "Aborted", timeout_s=240, what="the abort")
            assert rollout()["reason"] == "OutOfBounds"
            assert rollout()["message"] == "promql/cost: the query gave 2.5, 2.5; at most 2 is asked for"
