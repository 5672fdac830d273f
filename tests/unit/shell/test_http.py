import aiohttp

from llm_operator.shell.http import port_of, serve
from llm_operator.shell.metrics import Metrics
from llm_operator.shell.progress import Progress


async def fetch(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_health_is_progress_and_readiness_is_the_reach_of_the_api_server() -> None:
    now = 0.0
    progress = Progress(resync_s=600)
    progress.beat(0)
    async with serve(progress, Metrics(), lambda: now, host="127.0.0.1", port=0) as port:
        assert await fetch(port, "/healthz") == (200, "ok")
        assert (await fetch(port, "/readyz"))[0] == 503
        progress.resync_began()
        progress.resynced({}, now)
        assert await fetch(port, "/readyz") == (200, "ok")
        now = 60.0
        assert await fetch(port, "/healthz") == (503, "the loop has not run for 60 s")
        assert (await fetch(port, "/readyz"))[0] == 503
        assert (await fetch(port, "/"))[0] == 404


async def test_figures_are_served_as_prometheus_reads_them() -> None:
    metrics = Metrics()
    metrics.watch(depth=lambda: 3.0, watch_age=lambda: 1.5)
    metrics.wrote("Deployment", "apply")
    metrics.reconciled("LLMDeployment", "ok", 0.02)
    metrics.lead(lambda: True)
    metrics.fenced()
    async with serve(Progress(600), metrics, lambda: 0.0, host="127.0.0.1", port=0) as port:
        status, text = await fetch(port, "/metrics")
    assert status == 200
    assert "llm_operator_queue_depth 3.0" in text
    assert "llm_operator_leader 1.0" in text
    assert "llm_operator_fenced_writes_total 1.0" in text
    assert "llm_operator_watch_age_seconds 1.5" in text
    assert 'llm_operator_writes_total{kind="Deployment",verb="apply"} 1.0' in text
    assert 'llm_operator_reconcile_seconds_bucket{kind="LLMDeployment",le="0.025",result="ok"} 1.0' in text


def test_the_port_is_ours_unless_another_one_is_named() -> None:
    assert port_of({}) == port_of({"LLM_OPERATOR_PORT": ""}) == 8081
    assert port_of({"LLM_OPERATOR_PORT": "0"}) == 0
