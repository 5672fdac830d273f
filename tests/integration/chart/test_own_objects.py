"""Everything the operator writes, with the configuration the chart gives it, is let through by the chart's own policies."""

from typing import Any

import pytest
import yaml

from llm_operator.api.config import OperatorConfig, load_config
from tests.integration.chart.as_operator import SERVED, SYSTEM, allowed, apply
from tests.integration.chart.kit import one, render, run
from tests.unit.core.builders import make_deployment, make_spec
from tests.unit.core.sim import Sim

Object = dict[str, Any]

pytestmark = pytest.mark.usefixtures("release")

SPECS: dict[str, Object] = {
    "weights from a bucket": make_spec(
        model={"source": "s3://models/tiny", "credentials": {"secretName": "models"}}, accelerator={"profile": "nvidia-l4", "count": 2}
    ),
    "weights on a volume": make_spec(model={"source": "pvc://weights/tiny"}, accelerator={"profile": "nvidia"}, replicas=3),
}


@pytest.fixture(scope="module")
def config() -> OperatorConfig:
    rendered = render({"namespaces": [SERVED]}, namespace=SYSTEM)
    return load_config(one(rendered, "ConfigMap", "llm-operator")["data"]["config.yaml"])


def written(config: OperatorConfig, spec: Object) -> list[Object]:
    """Return every object the operator applies until such a deployment serves, as the first apply of it."""
    deployment = make_deployment(spec=spec)
    deployment["metadata"]["namespace"] = SERVED
    sim = Sim(config=config, deployment=deployment)
    found: dict[tuple[str, str], Object] = {}
    for _ in range(30):
        for each in sim.look().applies:
            found.setdefault((each.kind.kind, each.name), each.object)
        sim.tick()
    assert sim.deployment["status"]["phase"] == "Ready"
    return list(found.values())


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_what_the_operator_writes_is_admitted(config: OperatorConfig, spec: Object) -> None:
    objects = written(config, spec)
    kinds = {obj["kind"] for obj in objects}
    assert kinds == {"ConfigMap", "ControllerRevision", "Deployment", "Job", "NetworkPolicy", "PodDisruptionBudget", "Service"}
    for obj in objects:
        assert allowed(apply(obj))


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_its_pods_are_admitted_where_security_is_restricted(config: OperatorConfig, spec: Object) -> None:
    templates = [obj["spec"]["template"] for obj in written(config, spec) if obj["kind"] in {"Deployment", "Job"}]
    pods = [{"apiVersion": "v1", "kind": "Pod", **each, "metadata": {**each["metadata"], "name": "pod"}} for each in templates]
    assert len(pods) == 2
    assert allowed(run(["kubectl", "-n", SERVED, "create", "--dry-run=server", "--filename=-"], yaml.safe_dump_all(pods)))
