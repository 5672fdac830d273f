"""The CRDs as a real API server understands them: refusals, defaults, examples, documentation."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_operator.core import kinds
from tests.data.negative import SCHEMA, Case
from tests.integration.chart.kit import establish, kubectl, run
from tests.integration.conftest import ROOT, manifests
from tests.integration.server import Server
from tests.lab.api import ApiError
from tests.lab.builds import scaled_object_crd

EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
ASK = {"dryRun": "All", "fieldValidation": "Strict"}


@pytest.mark.parametrize("case", SCHEMA, ids=lambda case: case.name)
def test_a_manifest_that_cannot_work_is_refused_and_accepted_once_corrected(server: Server, case: Case) -> None:
    with pytest.raises(ApiError) as caught:
        server.create(case.manifest, "default", **ASK)
    for words in case.expect:
        assert words in str(caught.value).replace('\\"', '"')
    assert server.create(case.corrected, "default", **ASK)["metadata"]["name"]


def test_there_are_enough_cases() -> None:
    assert len(SCHEMA) >= 40


@pytest.fixture(scope="module")
def keda(server: Server) -> Iterator[None]:  # noqa: ARG001  # the server must be up first
    """Have the kind of the one example that is for KEDA."""
    kubectl("apply", "--server-side", f"--filename={scaled_object_crd()}")
    establish("scaledobjects.keda.sh")
    yield
    kubectl("delete", "crd/scaledobjects.keda.sh")


@pytest.mark.usefixtures("keda")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_passes_a_dry_run_on_the_server(path: Path) -> None:
    done = run(["kubectl", "apply", "--server-side", "--dry-run=server", f"--filename={path}", "--namespace=default"])
    assert done.code == 0, done.err
    assert done.out.count("(server dry run)") == len(manifests(path))


@pytest.mark.parametrize("resource", ["llmdeployments", "llmprompts"])
@pytest.mark.parametrize("part", ["spec", "status"])
def test_kubectl_explains_every_field(server: Server, resource: str, part: str) -> None:
    kind = next(kind for kind in kinds.CUSTOM if kind.plural == resource)
    listed = kubectl("explain", f"{resource}.{part}", "--recursive")
    schemas = server.raw(f"/openapi/v3/apis/{kind.group}/{kind.version}")["components"]["schemas"]
    schema = schemas[f"dev.llmops.{kind.version}.{kind.kind}"]["properties"][part]
    fields = list(described(schema, part))
    assert len(fields) > 3
    for path, description in fields:
        assert description.strip(), f"{resource}.{path} has no description"
        assert f"{path.rpartition('.')[2]}\t<" in listed, f"kubectl explain does not list {path}"


def described(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Return every field below a schema with its description."""
    schema = schema.get("items", schema)
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field.get("description", "")
        yield from described(field, f"{path}.{name}")


def test_the_columns_are_those_a_user_is_promised(server: Server) -> None:
    assert server.lab
    crd = server.raw("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/llmdeployments.llmops.dev")
    columns = crd["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [each["name"].upper() for each in columns if not each.get("priority")] == [
        "READY",
        "PHASE",
        "REPLICAS",
        "STABLE",
        "CANARY",
        "WEIGHT",
        "AGE",
    ]
