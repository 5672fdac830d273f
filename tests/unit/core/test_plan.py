from tests.unit.core.sim import Sim


def test_a_new_deployment_comes_to_serve_and_then_nothing_is_written() -> None:
    sim = Sim()
    sim.settle()
    status = sim.deployment["status"]
    assert status["phase"] == "Ready"
    assert status["stable"]["ready"] == 1
    assert "canary" not in status
    before = sim.version
    sim.tick()
    again = sim.look()
    assert (again.applies, again.deletes, again.nudges, again.next_look_s) == ((), (), (), None)
    assert again.status == status
    assert sim.version == before
