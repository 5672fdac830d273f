"""Which address a request goes to."""

import pytest

from llm_sidecar.hop.pool import Pool
from llm_sidecar.table import Engine, Peers


def pool_of(**engines: tuple[str, ...]) -> Pool:
    pool = Pool()
    pool.set_peers(Peers(engines=engines))
    return pool


def picked(pool: Pool, engine: str, own_address: str = "", times: int = 200) -> set[str]:
    found = [pool.pick(engine, own_address) for _ in range(times)]
    return {peer.name for peer in found if peer is not None}


def test_every_ready_pod_of_the_engine_gets_requests_and_the_own_never() -> None:
    pool = pool_of(e1=("10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"), e2=("10.0.0.9:8080",))
    assert picked(pool, "e1") == {"10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"}
    assert picked(pool, "e1", "10.0.0.2:8080") == {"10.0.0.1:8080", "10.0.0.3:8080"}
    assert picked(pool, "e2", "10.0.0.9:8080") == set()
    assert picked(pool, "e9") == set()


def test_the_busiest_of_three_is_never_chosen() -> None:
    pool = pool_of(e1=("a:1", "b:1", "c:1"))
    busy = next(peer for peer in pool._engines["e1"] if peer.name == "b:1")
    busy.inflight = 5
    assert picked(pool, "e1") == {"a:1", "c:1"}


def test_an_address_that_failed_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(e1=("a:1", "b:1"))
    now = 100.0
    monkeypatch.setattr("llm_sidecar.hop.pool.time.monotonic", lambda: now)
    pool._engines["e1"][0].avoid()
    assert picked(pool, "e1") == {"b:1"}
    now += 6
    assert picked(pool, "e1") == {"a:1", "b:1"}


def test_who_stays_keeps_what_is_known_of_it() -> None:
    pool = pool_of(e1=("a:1", "b:1"))
    kept = pool._engines["e1"][1]
    pool.set_peers(Peers(engines={"e1": ("b:1", "[fd00::1]:8080")}))
    assert pool._engines["e1"][0] is kept
    assert pool._engines["e1"][1].client._host == "fd00::1"
    assert picked(pool, "e1") == {"b:1", "[fd00::1]:8080"}


@pytest.mark.parametrize("address", ["", "a", "a:", "a:b", ":1", "a:99999"])
def test_what_is_no_address_is_passed_over(address: str) -> None:
    assert picked(pool_of(e1=(address, "b:1")), "e1") == {"b:1"}


def test_a_service_is_one_address_that_keeps_nothing() -> None:
    pool = Pool()
    peer = pool.service(Engine(service="chat-e1"))
    assert pool.service(Engine(service="chat-e1")) is peer
    assert (peer.name, peer.client._max_idle) == ("chat-e1:8080", 0)
