from tests.lab import kwok


def test_simulated_nodes_have_eight_accelerators_and_take_only_pods_that_ask_for_them() -> None:
    nodes = list(kwok.nodes(3))
    assert [node["metadata"]["name"] for node in nodes] == ["sim-1", "sim-2", "sim-3"]
    for node in nodes:
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"
        assert node["spec"]["taints"] == [{"key": kwok.TOLERATION["key"], "value": "fake", "effect": "NoSchedule"}]


def test_a_node_can_have_labels_and_another_number_of_accelerators() -> None:
    node = kwok.node("big", gpus=16, labels={"zone": "a"})
    assert node["metadata"]["labels"]["zone"] == "a"
    assert node["metadata"]["labels"][kwok.LABEL] == "true"
    assert node["status"]["capacity"]["nvidia.com/gpu"] == "16"
