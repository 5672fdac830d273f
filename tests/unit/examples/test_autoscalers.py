"""Scalers of one's own, as the examples have them."""

import re
from pathlib import Path

import yaml

from llm_operator.core import names

EXAMPLES = Path(__file__).resolve().parents[3] / "examples/autoscalers"


def test_keda_counts_the_requests_of_the_engines_of_one_deployment_and_nobody_elses() -> None:
    scaled = yaml.safe_load((EXAMPLES / "keda.yaml").read_text())
    (found,) = re.findall(r'pod=~"([^"]+)"', scaled["spec"]["triggers"][0]["metadata"]["query"])
    name, engine = scaled["spec"]["scaleTargetRef"]["name"], "gdqbqhswzm"
    pods = {
        f"{names.child(name, engine)}-5d4b8c7f9-x2x4z": True,
        f"{names.entry(name)}-5d4b8c7f9-x2x4z": False,
        f"{names.child(f'{name}-production', engine)}-5d4b8c7f9-x2x4z": False,
        f"{names.entry(f'{name}-production')}-5d4b8c7f9-x2x4z": False,
    }
    assert {pod: bool(re.fullmatch(found, pod)) for pod in pods} == pods
