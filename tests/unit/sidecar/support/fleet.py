"""Several sidecars on loopback, each with a scripted engine and a snapshot directory of its own, as pods of one deployment."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

from llm_sidecar import table
from llm_sidecar.bundle import Bundle
from tests.unit.sidecar.support.engine import Engine, answers, completion, engine_running, http
from tests.unit.sidecar.support.pod import TOKEN, Pod, pod_running, route

HOP = ("x-llm-hop: 1", f"x-llm-pod-token: {TOKEN}")


class Fleet:
    """Pods by name. The pod called ``e2`` serves engine ``e2``, ``e2-b`` another replica of it, ``entry`` no engine at all."""

    def __init__(self, path: Path, stack: contextlib.AsyncExitStack) -> None:
        self._path = path
        self._stack = stack
        self._generation = 0
        self.pods: dict[str, Pod] = {}

    def __getitem__(self, name: str) -> Pod:
        return self.pods[name]

    async def start(self, *names: str, engine_up: bool = True, **changes: str) -> None:
        """Start pods, each with an engine that answers with the pod's name, once it is up; they are told nothing yet."""
        for name in names:
            engine = await self._stack.enter_async_context(engine_running(Engine(script=answers(http(completion(name))))))
            if not engine_up:
                await engine.stop()
            id_ = "" if name == "entry" else name.partition("-")[0]
            pod = pod_running(self._path / name, engine, None, ready=False, LLM_ENGINE=id_, **changes)
            self.pods[name] = await self._stack.enter_async_context(pod)

    def publish(
        self,
        stable: str,
        *others: table.Route,
        bundles: Mapping[str, Bundle] | None = None,
        peers: Iterable[str] = (),
        services: Mapping[str, str] | None = None,
        to: Iterable[str] = (),
        subject: tuple[table.Subject, ...] = (),
        shadow: table.Shadow | None = None,
        failed: str = "",
    ) -> int:
        """Write a new generation for all pods or some; revision ``r2`` runs on engine ``e2``. Return its number.

        ``peers`` are the pods known to be ready; ``services`` says which pod is behind an engine's Service, the first one unless told,
        and ``failed`` why none is.
        """
        self._generation += 1
        routes = (self.stable(stable), *others)
        engines = {each.engine: table.Engine(service="127.0.0.1", port=self._service(each.engine, services or {})) for each in routes}
        found = table.Table(
            generation=self._generation, stable=stable, routes=routes, engines=engines, salt="s", subject=subject, shadow=shadow
        )
        ready: dict[str, list[str]] = {}
        for name in peers:
            ready.setdefault(name.partition("-")[0], []).append(f"127.0.0.1:{self.pods[name].port}")
        for name in to or self.pods:
            self.pods[name].snapshot.write_table(
                found,
                {each.revision: (bundles or {}).get(each.revision, Bundle()) for each in routes},
                table.Peers(counter=1, engines={engine: tuple(there) for engine, there in ready.items()}, failed=failed),
            )
        return self._generation

    def stable(self, revision: str) -> table.Route:
        """Return the route of stable: what is left after the challengers."""
        return route(revision, f"e{revision[1:2]}")

    async def until_ready(self, *names: str) -> None:
        """Wait until pods, or all of them, run the newest generation and take requests."""
        for name in names or self.pods:
            await self.pods[name].until(lambda status: status["generation"] == self._generation and bool(status["ready"]))

    def _service(self, engine: str, services: Mapping[str, str]) -> int:
        name = services.get(engine, engine)
        return self.pods[name].port if name in self.pods else 1  # nobody listens there


@contextlib.asynccontextmanager
async def fleet_running(path: Path) -> AsyncIterator[Fleet]:
    """Run a fleet that starts empty."""
    async with contextlib.AsyncExitStack() as stack:
        yield Fleet(path, stack)


def text_of(answer: Any) -> str:
    """Return the text of a completion: the name of the pod whose engine made it."""
    return str(answer.json["choices"][0]["text"])
