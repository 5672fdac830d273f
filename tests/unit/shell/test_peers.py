"""What other operators were measured to get wrong, each as something this one does not do.

Others of these mistakes are tested where they would be made: a list of referrers that grows with each of them (core/test_plan_prompt.py), a
restart that writes (test_reconcile.py, integration/test_rest.py), reconciles delayed by more than a second (integration/test_rest.py).
"""

import asyncio
import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.app import WORKERS
from llm_operator.core import kinds
from llm_operator.core.observed import Observed
from llm_operator.core.plan import plan
from llm_operator.shell.queue import Key, Result, WorkQueue
from tests.fakes.objects import llm_deployment, operator_config

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Object = dict[str, Any]


def observed(spec: Object, status: Object | None = None) -> Observed:
    made = llm_deployment() | {"spec": spec}
    made["metadata"] |= {"uid": "u", "resourceVersion": "1", "generation": 1}
    return Observed(made | ({"status": status} if status else {}))


def test_time_that_passes_is_no_reason_to_write_a_status() -> None:
    """`status.lastUpdated = now` with each reconcile keeps an operator busy with itself for ever."""
    first = plan(observed(llm_deployment()["spec"]), operator_config(), NOW)
    later = plan(observed(llm_deployment()["spec"], first.status), operator_config(), NOW + timedelta(days=1))
    assert later.status == first.status


RICH: Object = {
    "model": {"source": "s3://models/tiny", "credentials": {"secretName": "hub"}, "servedName": "chat"},
    "engine": {"profile": "vllm", "maxModelLen": 4096, "resources": {"cpu": "1", "memory": "2Gi"}, "startup": {"timeout": "20m"}},
    "accelerator": {"profile": "nvidia", "count": 1},
    "replicas": 2,
    "prompt": {"inline": {"system": "Be brief.", "sampling": {"temperature": "0.2"}}},
    "limits": {"maxBodyBytes": "1Mi"},
    "drain": {"minimum": "5s"},
}


def paths(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path] if path else []
    return found + ([each for key in value for each in paths(value[key], (*path, key))] if isinstance(value, dict) else [])


@pytest.mark.parametrize("path", paths(RICH), ids=".".join)
@pytest.mark.parametrize("instead", ["absent", "empty"])
def test_an_object_without_an_optional_field_is_planned_for(path: tuple[str, ...], instead: str) -> None:
    """One that panics on it, panics for ever: what was stored before a field was there has none."""
    spec = copy.deepcopy(RICH)
    at: Any = spec
    for step in path[:-1]:
        at = at[step]
    if instead == "empty" and isinstance(at[path[-1]], dict):
        at[path[-1]] = {}
    else:
        del at[path[-1]]
    made = plan(observed(spec), operator_config(), NOW)
    assert made.status["phase"]


def test_every_optional_field_may_be_absent_at_once() -> None:
    required = {name for name, each in LLMDeploymentSpec.model_fields.items() if each.is_required()}
    made = plan(observed({name: RICH[name] for name in required}), operator_config(), NOW)
    assert made.status["phase"] == "Resolving"


async def test_a_deployment_that_takes_long_holds_none_of_the_others_up() -> None:
    """A sleep in the only worker makes everybody wait for everybody."""
    queue = WorkQueue(jitter=lambda: 0.0)
    done: list[str] = []
    slow, enough = asyncio.Event(), asyncio.Event()

    async def handle(key: Key) -> Result:
        if key.name.startswith("slow"):
            await slow.wait()
        done.append(key.name)
        if len(done) == 100:
            enough.set()
        return Result()

    workers = [asyncio.create_task(queue.run(handle)) for _ in range(WORKERS)]
    for number in range(3):
        queue.add(Key(kinds.LLM_DEPLOYMENT.kind, "ns", f"slow-{number}"), 0)
    for number in range(100):
        queue.add(Key(kinds.LLM_DEPLOYMENT.kind, "ns", f"chat-{number}"), 0.01)
    await asyncio.wait_for(enough.wait(), 5)
    slow.set()
    queue.close()
    await asyncio.gather(*workers)
