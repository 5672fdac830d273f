"""What sidecars say of themselves on their admin port, asked all at once and again and again."""

import asyncio
import time
from collections.abc import Mapping

import aiohttp

from tests.e2e import kit
from tests.lab.api import Api

_EVERY_S = 0.04


def status(pod: kit.Object) -> kit.Object:
    """Return what one sidecar reports."""
    return dict(kit.request(pod["status"]["podIP"], "GET", "/status", port=9090, timeout_s=10).json())


def arrivals(api: Api, path: str, change: kit.Object, pods: Mapping[str, str], *, timeout_s: float) -> dict[str, float]:
    """Patch an object and return, for each pod, the seconds from the sending of the patch to its report of another revision.

    ``pods`` are addresses by name. The time before the API server has stored the change counts too.
    """
    return asyncio.run(_arrivals(api, path, change, pods, timeout_s))


async def _arrivals(api: Api, path: str, change: kit.Object, pods: Mapping[str, str], timeout_s: float) -> dict[str, float]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        before = dict(zip(pods, await asyncio.gather(*(_revision(session, each) for each in pods.values())), strict=True))
        start = time.monotonic()
        waiting = [asyncio.create_task(_arrival(session, address, before[name], start)) for name, address in pods.items()]
        await asyncio.to_thread(api.text, path, method="PATCH", body=change, content_type="application/merge-patch+json")
        print(f"patch answered after {time.monotonic() - start:.3f} s")  # noqa: T201  # how much of the figures is not ours
        return dict(zip(pods, await asyncio.wait_for(asyncio.gather(*waiting), timeout_s), strict=True))


async def _arrival(session: aiohttp.ClientSession, address: str, before: str, start: float) -> float:
    while await _revision(session, address) == before:  # noqa: ASYNC110  # what is waited for happens in another process
        await asyncio.sleep(_EVERY_S)
    return time.monotonic() - start


async def _revision(session: aiohttp.ClientSession, address: str) -> str:
    async with session.get(f"http://{address}:9090/status") as answer:
        return str((await answer.json())["revision"])
