"""The addresses beside the table: who is in them, how often they are written, and that nobody waits for them."""

from llm_operator.core.actions import Plan
from llm_operator.core.kinds import CONFIG_MAP, DEPLOYMENT
from llm_sidecar.table import PEERS_KEY, Peers, decode_peers
from tests.unit.core.builders import make_deployment, make_spec
from tests.unit.core.sim import Sim
from tests.unit.core.test_engine_change import table


def serving(replicas: int = 2) -> Sim:
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=replicas)))
    sim.settle()
    sim.tick(5)
    return sim


def peers(sim: Sim) -> Peers:
    return decode_peers(sim.objects[CONFIG_MAP, "chat-snapshot"]["data"].get(PEERS_KEY, "").encode())


def written(made: Plan) -> bool:
    return CONFIG_MAP in {each.kind for each in made.applies}


def addresses(sim: Sim) -> tuple[str, ...]:
    return tuple(sorted(f"{pod['status']['podIP']}:8080" for pod in sim.held()))


def test_every_ready_pod_is_listed_under_its_engine() -> None:
    sim = serving(3)
    (engine,) = sim.engines()
    assert peers(sim).engines == {engine: addresses(sim)}


def test_a_pod_that_is_alone_has_no_peers() -> None:
    assert PEERS_KEY not in serving(1).objects[CONFIG_MAP, "chat-snapshot"]["data"]


def test_addresses_change_without_a_generation_a_nudge_or_a_word_about_it() -> None:
    sim = serving()
    generation, counter = table(sim).generation, peers(sim).counter
    sim.crashed.add(next(iter(sim.pods)))
    sim.tick()
    made = sim.look()
    assert written(made)
    assert made.nudges == ()
    assert (table(sim).generation, peers(sim).counter, peers(sim).engines) == (generation, counter + 1, {})
    assert next(each["status"] for each in made.status["conditions"] if each["type"] == "TableProgrammed") == "True"


def test_addresses_alone_are_written_at_most_every_two_seconds_and_at_rest_never() -> None:
    sim = serving()
    (first, second) = sim.pods
    sim.crashed.add(first)
    sim.tick(1)
    assert written(sim.look())
    sim.crashed.clear()
    sim.tick(1)
    made = sim.look()
    assert not written(made)
    assert made.next_look_s == 1.0
    sim.tick(1)
    assert written(sim.look())
    assert {first, second} == set(sim.pods)
    sim.tick(60)
    again = sim.look()
    assert (again.applies, again.next_look_s) == ((), None)


def test_a_deployment_whose_addresses_are_about_to_be_written_is_at_rest() -> None:
    sim = serving()
    for pod in sim.pods.values():
        pod["status"]["podIP"] = f"fd00::{pod['metadata']['name'][-1]}"
    made = sim.look()
    assert written(made)
    assert next(each["status"] for each in made.status["conditions"] if each["type"] == "Reconciling") == "False"
    assert all(address.startswith("[fd00::") for each in peers(sim).engines.values() for address in each)


def test_an_engine_that_did_not_start_in_its_time_is_told_of_until_one_is_ready() -> None:
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=1)), max_ready=0)
    for _ in range(10):
        sim.look()
        sim.tick()
    assert peers(sim).failed == ""
    (name,) = (name for kind, name in sim.objects if kind == DEPLOYMENT)
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    sim.objects[DEPLOYMENT, name]["status"] = {"conditions": [late]}
    for _ in range(4):
        sim.look()
        sim.tick()
    assert "not ready within spec.engine.startup.timeout" in peers(sim).failed
    sim.max_ready = 1
    for _ in range(6):
        sim.tick()
        sim.look()
    assert peers(sim).failed == ""
