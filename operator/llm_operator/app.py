"""The composition root: makes every part, gives each what it needs, and takes them down in order."""

import asyncio
import contextlib
import logging
import os
import random
import signal
import socket
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from llm_operator import __version__
from llm_operator.api.config import ConfigError, OperatorConfig
from llm_operator.core import kinds
from llm_operator.shell import http
from llm_operator.shell import logging as shell_logging
from llm_operator.shell.checker import Checker
from llm_operator.shell.cluster import KubernetesCluster, connect
from llm_operator.shell.config import read_config
from llm_operator.shell.errors import TransientError
from llm_operator.shell.fence import Fence, boot_time
from llm_operator.shell.follow import Follower
from llm_operator.shell.inbox import Inbox
from llm_operator.shell.leader import Elector, LostError
from llm_operator.shell.logging import log
from llm_operator.shell.metrics import Metrics
from llm_operator.shell.news import Hint, Seen
from llm_operator.shell.observe import Eye
from llm_operator.shell.progress import Progress
from llm_operator.shell.queue import Key, WorkQueue
from llm_operator.shell.reconcile import Reconciler
from llm_operator.shell.resync import Resync
from llm_operator.shell.survey import Surveyor
from llm_operator.shell.telemetry import HttpTelemetry
from llm_operator.shell.triggers import Watch

WORKERS = 32
"""They mostly wait for the API server, and a slow one must not make everybody wait."""
_FINISH_S = 5.0
"""How long passes that have begun may take to end after SIGTERM; with the watch's own end it stays below ten seconds."""

_BEAT_S = 5.0
_KNOCK_S = 2.0


class StartError(Exception):
    """The operator cannot start; the message says what to do."""


async def operate(
    config: OperatorConfig, cluster: KubernetesCluster, stop: asyncio.Event, *, me: str = "", host: str = "0.0.0.0", port: int = http.PORT
) -> None:
    """Run the operator until ``stop`` is set: stand by until it leads as ``me``, then work; raises what a part of it failed with."""
    clock = asyncio.get_running_loop().time
    metrics, progress = Metrics(), Progress(config.resync_seconds)
    async with contextlib.AsyncExitStack() as parts:
        await parts.enter_async_context(http.serve(progress, metrics, clock, host=host, port=port))
        await parts.enter_async_context(_beating(progress))
        await _check_kinds(cluster, stop)
        if not config.leader_election.enabled:
            metrics.lead(lambda: True)
            await _work(config, cluster, stop, metrics, progress)
            return
        fence = Fence(refused=metrics.fenced)
        metrics.lead(lambda: fence.is_open)
        fenced = cluster.behind(fence)
        parts.push_async_callback(fenced.close)
        elector = Elector(
            leases=cluster,
            namespace=config.operator_namespace,
            name=config.leader_election.lease_name,
            me=me or identity(),
            fence=fence,
            clock=boot_time,
            now=lambda: datetime.now(UTC),
            looked=lambda: progress.stood_by(clock()),
        )
        await elector.run(lambda: _work(config, fenced, stop, metrics, progress), stop)


async def _work(config: OperatorConfig, cluster: KubernetesCluster, stop: asyncio.Event, metrics: Metrics, progress: Progress) -> None:
    """Look after everything until ``stop`` is set; what is known of the world begins here, with nothing."""
    loop = asyncio.get_running_loop()
    queue = WorkQueue(jitter=random.SystemRandom().random)
    metrics.watch(depth=lambda: float(len(queue)), watch_age=lambda: progress.watch_age(loop.time()))
    namespaces = () if config.cluster_wide else config.namespaces
    routes, scalers = kinds.OPTIONAL if config.gateway else (), kinds.SCALERS if config.scaling_conflicts else ()

    seen = Seen()
    inbox = Inbox(queue.hear, seen)

    def deliver(told: Hint) -> None:
        if told.kind in kinds.CUSTOM and not told.gone:
            progress.delivered(told.key, told.version, loop.time())
        else:
            progress.heard(loop.time())
        inbox.hear(told)

    async with contextlib.AsyncExitStack() as parts:
        checker = parts.enter_context(Checker())
        telemetry = await parts.enter_async_context(HttpTelemetry(config.gates, grew=lambda name: queue.hear(_key(name))))
        reconciler = Reconciler(
            cluster=cluster,
            eye=Eye(cluster, telemetry, seen, lambda: datetime.now(UTC), loop.time, frozenset({*routes, *scalers})),
            inbox=inbox,
            config=config,
            check=checker.known,
            try_out=checker,
            now=lambda: datetime.now(UTC),
            clock=loop.time,
            metrics=metrics,
            instance=socket.gethostname(),
        )
        surveyor = Surveyor(cluster, reconciler.eye, reconciler.decide, reconciler.decide_prompt)
        begun = asyncio.Event()
        resync = Resync(surveyor.survey, namespaces, inbox, progress, config.resync_seconds, loop.time, begun, queue.add)
        follower = Follower(cluster, namespaces, deliver, resync.again, begun=begun, watched=(*kinds.WATCHED, *routes))
        watch = Watch(deliver, cluster.credentials, namespaces)
        progress.leads()
        log(logging.INFO, "the operator runs", namespaces=",".join(namespaces) or "all")
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(queue.run(reconciler)) for _ in range(WORKERS)]
            background = [group.create_task(part) for part in (watch.run(), follower.run(), resync.run())]
            await stop.wait()
            log(logging.INFO, "the operator stops")
            queue.close()
            for part in background:
                part.cancel()
            await asyncio.wait(workers, timeout=_FINISH_S)
            for worker in workers:
                worker.cancel()


def _key(name: str) -> Key:
    """Return the key of a deployment by its namespace and name."""
    namespace, _, own = name.partition("/")
    return Key(kinds.LLM_DEPLOYMENT.kind, namespace, own)


def identity() -> str:
    """Return a name that no other process has, nor this pod's next one: who holds the Lease, and who an audit log says has written."""
    return f"{socket.gethostname()}_{uuid.uuid4().hex[:12]}"


async def main() -> int:
    """Run the operator as a process: configuration, credentials, signals; return the exit code."""
    shell_logging.configure(os.environ.get("LLM_OPERATOR_LOG_LEVEL", ""))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        config, me = read_config(os.environ), identity()
        cluster = await connect(f"llm-operator/{__version__} ({me})", os.environ.get("KUBECONFIG"))
        try:
            await operate(config, cluster, stop, me=me, port=http.port_of(os.environ))
        finally:
            await cluster.close()
    except (ConfigError, StartError, LostError) as error:
        log(logging.ERROR, str(error))
        return 1
    except Exception:
        logging.getLogger("llm_operator").exception("the operator failed")
        return 1
    return 0


async def _check_kinds(cluster: KubernetesCluster, stop: asyncio.Event) -> None:
    """Wait for the API server to answer, then insist on our CRDs: kopf would only warn and then watch nothing."""
    while not stop.is_set():
        try:
            missing = [kind.plural for kind in kinds.CUSTOM if not await cluster.serves(kind)]
        except TransientError as error:
            log(logging.WARNING, f"waiting for the API server: {error}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _KNOCK_S)
            continue
        if missing:
            group = kinds.CUSTOM[0].group
            names = " and ".join(f"{plural}.{group}" for plural in missing)
            raise StartError(f"the cluster does not have {names}; install the CRDs first: kubectl apply --server-side -f crds/")
        return


@contextlib.asynccontextmanager
async def _beating(progress: Progress) -> AsyncIterator[None]:
    """Prove every few seconds that the loop runs."""

    async def beat() -> None:
        while True:
            progress.beat(asyncio.get_running_loop().time())
            await asyncio.sleep(_BEAT_S)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
