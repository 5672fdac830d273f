import pytest

from llm_operator.core import names
from llm_operator.core.actions import Apply, Delete
from llm_operator.core.kinds import BY_KIND
from llm_operator.core.observed import Obj


def labelled(kind: str, **labels: str) -> Obj:
    return {"kind": kind, "metadata": {"name": "chat", "labels": labels}}


@pytest.mark.parametrize(
    ("applied", "relied_on"),
    [
        (labelled("Service", **{names.LABEL_ENGINE: "ay7sk6vdxs"}), True),
        (labelled("Service"), False),
        (labelled("Deployment", **{names.LABEL_ENGINE: "ay7sk6vdxs"}), False),
    ],
)
def test_what_comes_after_an_engine_s_service_relies_on_it(applied: Obj, relied_on: bool) -> None:
    assert Apply(applied, force=True).relied_on is relied_on


@pytest.mark.parametrize(("kind", "is_optional"), [("HTTPRoute", True), ("Service", False)])
def test_a_deployment_can_do_without_a_kind_that_a_cluster_need_not_have(kind: str, is_optional: bool) -> None:
    assert Apply(labelled(kind), force=True).is_optional is is_optional
    assert Delete(BY_KIND[kind], "chat", "u", "surplus").is_optional is is_optional
