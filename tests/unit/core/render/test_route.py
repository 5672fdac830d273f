from llm_operator.api.routing import Gateway, ParentRef
from llm_operator.core.render.meta import Owner
from llm_operator.core.render.route import route

OWNER = Owner("chat", "team", "u-1")


def test_a_route_has_one_rule_to_the_service_and_every_field_the_server_would_add() -> None:
    gateway = Gateway(parent_refs=(ParentRef(name="edge", namespace="infra", section_name="https"),), hostnames=("llm.example.com",))
    made = route(OWNER, gateway)
    assert (made["apiVersion"], made["kind"], made["metadata"]["name"]) == ("gateway.networking.k8s.io/v1", "HTTPRoute", "chat")
    assert made["metadata"]["ownerReferences"] == [OWNER.reference]
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge", "namespace": "infra", "sectionName": "https"}
    assert made["spec"] == {
        "parentRefs": [parent],
        "hostnames": ["llm.example.com"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [{"group": "", "kind": "Service", "name": "chat", "port": 8080, "weight": 1}],
                "timeouts": {"request": "0s"},
            }
        ],
    }


def test_without_host_names_it_takes_those_of_the_gateways() -> None:
    made = route(OWNER, Gateway(parent_refs=(ParentRef(name="edge"), ParentRef(name="inside"))))
    assert "hostnames" not in made["spec"]
    assert [sorted(each) for each in made["spec"]["parentRefs"]] == [["group", "kind", "name"]] * 2
