import pytest

from llm_operator.api.crd import LLM_DEPLOYMENT, RESOURCES, Resource
from llm_operator.api.engine_args import ALLOWED, MANAGED, NEVER, OWNED
from llm_operator.api.reference import config_page, engine_args_page, resource_page
from tests.unit.api.test_crd import nodes


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: each.kind)
def test_every_field_is_on_the_page_with_its_description(resource: Resource) -> None:
    page = resource_page(resource)
    for part in ("spec", "status"):
        for path, node in nodes(resource.schema()["properties"][part], part):
            name = path.rpartition(".")[2]
            if "." in path and "[]" not in name and "{}" not in name:
                assert f"| `{name}` |" in page
                assert node["description"].replace("|", "\\|") in page


def test_bounds_defaults_and_rules_are_on_the_page() -> None:
    page = resource_page(LLM_DEPLOYMENT)
    assert "| `replicas` | integer from 0 to 1000 | `1` |" in page
    assert "| `topP` | number above 0 to 1 |" in page
    assert '| `updatePolicy` | one of `Pin`, `Notify`, `Rollout` | `"Notify"` |' in page
    assert "* exactly one of ref and inline must be set" in page
    assert "must be a duration from 10s to 24h" in page


def test_every_argument_is_on_the_page_of_the_arguments() -> None:
    page = engine_args_page()
    assert not [name for name in (*ALLOWED, *OWNED, *MANAGED, *NEVER) if f"`{name}`" not in page]


def test_the_page_of_the_configuration_has_profiles_by_name() -> None:
    page = config_page()
    assert "## engineProfiles.NAME" in page
    assert "## acceleratorProfiles.NAME.tolerations[]" in page
    assert "| `resyncSeconds` | integer from 10 to 86400 | `600` |" in page


def test_a_pipe_in_a_value_does_not_break_the_table() -> None:
    for page in (engine_args_page(), config_page(), *(resource_page(resource) for resource in RESOURCES)):
        widths = [line.replace("\\|", "").count("|") for line in page.splitlines() if line.startswith("|")]
        assert set(widths) <= {3, 5}
