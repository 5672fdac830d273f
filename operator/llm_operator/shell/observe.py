"""Looks at one LLMDeployment: live reads of it and of everything that carries its label, nothing remembered."""

import asyncio

from llm_operator.core import kinds, names
from llm_operator.core.actions import Plan
from llm_operator.core.observed import Children, Observed
from llm_operator.shell.errors import NotFoundError
from llm_operator.shell.ports import Cluster, Manifest, Telemetry
from llm_operator.shell.queue import Key


async def observe(cluster: Cluster, telemetry: Telemetry, key: Key) -> Observed | None:
    """Return what there is of a deployment, or None when it is gone or going: its children go with it."""
    try:
        deployment = await cluster.get(kinds.LLM_DEPLOYMENT, key.namespace, key.name)
    except NotFoundError:
        return None
    if "deletionTimestamp" in deployment["metadata"]:
        return None
    labels = selector(key.name)
    wanted = (*kinds.CHILDREN, kinds.POD)
    listed = await asyncio.gather(*(cluster.list(kind, key.namespace, labels=labels) for kind in wanted))
    found = {kind: tuple(objects) for kind, objects in zip(wanted, listed, strict=True)}
    pods = tuple(pod for pod in found[kinds.POD] if names.LABEL_ENGINE in pod["metadata"]["labels"])
    running = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
    return Observed(
        deployment=deployment,
        prompt=await _prompt(cluster, deployment),
        children=Children(
            deployments=found[kinds.DEPLOYMENT],
            services=found[kinds.SERVICE],
            config_maps=found[kinds.CONFIG_MAP],
            controller_revisions=found[kinds.CONTROLLER_REVISION],
            jobs=found[kinds.JOB],
            pdbs=found[kinds.POD_DISRUPTION_BUDGET],
            network_policies=found[kinds.NETWORK_POLICY],
        ),
        pods=pods,
        job_pods=tuple(pod for pod in found[kinds.POD] if names.LABEL_ENGINE not in pod["metadata"]["labels"]),
        reports=await telemetry.reports(running),
    )


async def taken(cluster: Cluster, plan: Plan) -> tuple[Manifest, ...]:
    """Return what is there already under names that the plan is about to use for the first time."""
    found = []
    for apply in plan.applies:
        if apply.first:
            try:
                found.append(await cluster.get(apply.kind, apply.object["metadata"]["namespace"], apply.name))
            except NotFoundError:
                continue
    return tuple(found)


def selector(deployment: str) -> str:
    """Return the label selector of everything that belongs to a deployment."""
    return ",".join(f"{label}={value}" for label, value in names.managed_labels(deployment).items())


def prompt_name(deployment: Manifest) -> str | None:
    """Return the name of the LLMPrompt a deployment refers to."""
    name = ((deployment.get("spec", {}).get("prompt") or {}).get("ref") or {}).get("name")
    return str(name) if name else None


async def _prompt(cluster: Cluster, deployment: Manifest) -> Manifest | None:
    name = prompt_name(deployment)
    if name is None:
        return None
    try:
        return await cluster.get(kinds.LLM_PROMPT, deployment["metadata"]["namespace"], name)
    except NotFoundError:
        return None
