"""The operator in this process: its real composition root on a loop and thread of its own, against the real API server."""

import asyncio
import threading
from types import TracebackType
from typing import Self

from llm_operator.api.config import OperatorConfig
from llm_operator.app import operate
from llm_operator.shell.cluster import connect


class RunningOperator:
    """An operator between entering and leaving the context; leaving raises what it failed with."""

    def __init__(self, config: OperatorConfig, kubeconfig: str) -> None:
        self._config = config
        self._kubeconfig = kubeconfig
        self._thread = threading.Thread(target=self._run, name="operator")
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self._thread.start()
        assert self._started.wait(30), "the operator did not start"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ask it to stop and wait until it has."""
        self.stop()

    @property
    def is_alive(self) -> bool:
        """Return whether it has not ended yet."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ask it to stop and wait until it has."""
        if self._loop and self._stop and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(15)
        assert not self._thread.is_alive(), "the operator did not stop within 15 s"
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001  # told to the test's thread by stop
            self._failure = error
        finally:
            self._started.set()

    async def _main(self) -> None:
        cluster = await connect("llm-operator/integration-test", self._kubeconfig)
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._started.set()
        try:
            await operate(self._config, cluster, self._stop, host="127.0.0.1", port=0)
        finally:
            await cluster.close()
