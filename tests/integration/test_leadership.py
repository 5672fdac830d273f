"""Two operators with the rights the chart gives them: what a standby does, and what it says of itself."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

from llm_operator.core import kinds
from tests.fakes.objects import llm_deployment, operator_config
from tests.integration.conftest import RELEASE, SYSTEM
from tests.integration.server import Server
from tests.integration.stage import Stage
from tests.integration.test_lifecycle import wait_settled
from tests.integration.test_resilience import answer, process_of
from tests.lab.wait import until

LEASE = f"{RELEASE}-llm-operator"


def holder(server: Server) -> str:
    found = server.get(kinds.LEASE, SYSTEM, LEASE)
    return str(found["spec"].get("holderIdentity") or "") if found else ""


def test_a_standby_is_healthy_and_ready_does_nothing_and_leads_as_soon_as_the_leader_is_told_to_stop(
    server: Server, spaces: Callable[[], str], stage: Stage, account: str, tmp_path: Path
) -> None:
    assert stage
    namespace = spaces()
    config = operator_config(namespaces=[namespace], operatorNamespace=SYSTEM, leaderElection={"leaseName": LEASE})
    with process_of(config, account, tmp_path, LLM_OPERATOR_PORT="0") as first:
        until(lambda: holder(server), timeout_s=60, what="a leader")
        leader = holder(server)
        with process_of(config, account, tmp_path) as second:
            until(lambda: answer("/readyz") == (200, "ok"), timeout_s=60, what="the standby ready")
            assert answer("/healthz") == (200, "ok")
            assert "llm_operator_leader 0.0" in answer("/metrics")[1]
            server.create(llm_deployment("chat", namespace), namespace)
            wait_settled(server, namespace, "chat")
            assert "llm_operator_writes_total{" not in answer("/metrics")[1]

            first.send_signal(signal.SIGTERM)
            out, _ = first.communicate(timeout=20)
            assert first.returncode == 0
            assert "the Lease is given back" in {json.loads(line)["message"] for line in out.splitlines()}
            until(lambda: "llm_operator_leader 1.0" in answer("/metrics")[1], timeout_s=30, what="the standby leads")
            assert holder(server) not in {"", leader}
            until(lambda: answer("/readyz") == (200, "ok"), timeout_s=60, what="the new leader ready")
            server.merge(kinds.LLM_DEPLOYMENT, namespace, "chat", {"spec": {"prompt": {"inline": {"system": "Be brief."}}}})
            wait_settled(server, namespace, "chat")
            assert "llm_operator_writes_total{" in answer("/metrics")[1]

            second.send_signal(signal.SIGTERM)
            second.communicate(timeout=20)
    assert holder(server) == ""
