"""All requests of a subject belong together: at every pod, over a hop, in the statistics."""

import asyncio
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from llm_sidecar.bundle import Auth, Bundle, Limits
from llm_sidecar.table import WHOLE, Subject
from tests.unit.sidecar.support.client import connect, post
from tests.unit.sidecar.support.fleet import HOP, Fleet
from tests.unit.sidecar.support.keys import SecretDir, bearer, entry
from tests.unit.sidecar.support.pod import Pod, route

ASK = {"prompt": "x"}
COMPLETIONS = "/v1/completions"
HEADER, FIELD = Subject(header="x-user-id"), Subject(body_field="user")
SUBJECTS = int(os.environ.get("SUBJECTS", "150"))
TOGETHER = 8


async def buckets(pod: Pod) -> dict[str, dict[str, list[float]]]:
    found = json.loads((await pod.admin_get("/-/stats")).body)["revisions"]
    return {revision: of["buckets"] for revision, of in found.items()}


async def two_engines(fleet: Fleet, weight: int, *subject: Subject, **bundles: Bundle) -> Fleet:
    await fleet.start("e1", "e2")
    fleet.publish("r1", route("r2", "e2", weight=weight, slot=0), subject=subject, bundles=bundles, peers=("e1", "e2"))
    await fleet.until_ready()
    return fleet


async def revision_at(pod: Pod, body: object, *headers: str) -> str:
    answer = await pod.post(COMPLETIONS, body, *headers)
    assert answer.status == 200
    return answer.headers["x-llm-revision"]


@pytest.mark.parametrize("kind", ["header", "field"])
async def test_a_subject_gets_one_revision_wherever_it_arrives(fleet: Fleet, kind: str) -> None:
    await two_engines(fleet, WHOLE // 2, HEADER, FIELD)
    seen = {}
    for user in range(20):
        body, headers = (ASK, (f"x-user-id: u{user}",)) if kind == "header" else ({**ASK, "user": f"u{user}"}, ())
        found = {await revision_at(fleet[name], body, *headers) for name in ("e1", "e2", "e1")}
        assert len(found) == 1, "a subject changed its revision"
        seen[user] = found.pop()
    assert set(seen.values()) == {"r1", "r2"}


async def test_a_header_and_a_field_that_say_the_same_are_the_same_subject(fleet: Fleet) -> None:
    await two_engines(fleet, WHOLE // 2, HEADER, FIELD)
    for user in ("a", "b", "c", "d", "e", "f", "g", "h"):
        by_header = await revision_at(fleet["e1"], ASK, f"x-user-id: {user}")
        assert await revision_at(fleet["e2"], {**ASK, "user": user}) == by_header


async def test_the_server_counts_a_request_as_the_unit_its_first_hop_has_assigned(fleet: Fleet) -> None:
    await two_engines(fleet, WHOLE, HEADER)
    for name in ("e1", "e2") * 5:
        assert await revision_at(fleet[name], ASK, "x-user-id: alice") == "r2"
    (bucket,) = (await buckets(fleet["e2"]))["r2"].values()
    assert bucket[0] == 10, "ten requests of one subject"
    assert await buckets(fleet["e1"]) == {}


async def test_a_failure_at_the_first_hop_is_counted_for_the_same_unit(fleet: Fleet) -> None:
    await two_engines(fleet, WHOLE, HEADER)
    await revision_at(fleet["e1"], ASK, "x-user-id: alice")
    await fleet["e2"].engine.stop()
    assert await revision_at(fleet["e1"], ASK, "x-user-id: alice") == "r1"
    served, failed = (await buckets(fleet["e2"]))["r2"], (await buckets(fleet["e1"]))["r2"]
    assert served.keys() == failed.keys()


async def test_a_unit_of_a_client_means_nothing(fleet: Fleet) -> None:
    await two_engines(fleet, 0, HEADER)
    for _ in range(12):
        await revision_at(fleet["e1"], ASK, "x-llm-unit: YWxpY2U=")
    assert len((await buckets(fleet["e1"]))["r1"]) > 6


@pytest.mark.parametrize("unit", ["x-llm-unit: not base64", "x-llm-unit:", "x-other: 1"])
async def test_a_hop_without_a_unit_is_one_of_its_own(fleet: Fleet, unit: str) -> None:
    await two_engines(fleet, 0, HEADER)
    for _ in range(12):
        assert (await fleet["e1"].post(COMPLETIONS, ASK, *HOP, "x-llm-revision: r1", unit)).status == 200
    assert len((await buckets(fleet["e1"]))["r1"]) > 6


async def test_all_requests_of_a_key_are_one_subject(fleet: Fleet, tmp_path: Path) -> None:
    secret = SecretDir(tmp_path / "secrets")
    secret.keys(*(entry(f"team-{number}", f"key-{number}") for number in range(8)))
    await fleet.start("e1", "e2", LLM_SECRETS_DIR=str(secret.path))
    locked = Bundle(auth=Auth(api_keys="Required"))
    fleet.publish(
        "r1",
        route("r2", "e2", weight=WHOLE // 2, slot=0),
        subject=(Subject(api_key=True),),
        bundles={"r1": locked, "r2": locked},
        peers=("e1", "e2"),
    )
    await fleet.until_ready()
    for name in ("e1", "e2"):
        await fleet[name].sidecar._services.doorman.look()
    found = [{await revision_at(fleet[name], ASK, bearer(f"key-{number}")) for name in ("e1", "e2")} for number in range(8)]
    assert {len(each) for each in found} == {1}
    assert len(set.union(*found)) == 2


async def test_a_body_is_refused_by_the_limit_of_the_revision_it_is_assigned_to(fleet: Fleet) -> None:
    small = Bundle(limits=Limits(max_body_bytes=100))
    await two_engines(fleet, WHOLE, FIELD, r2=small)
    assert (await fleet["e1"].post(COMPLETIONS, {"prompt": "x" * 200, "user": "alice"})).status == 413
    fleet.publish("r1", route("r2", "e2", weight=0, slot=0), subject=(FIELD,), bundles={"r2": small}, peers=("e1", "e2"))
    await fleet.until_ready()
    assert (await fleet["e1"].post(COMPLETIONS, {"prompt": "x" * 200, "user": "alice"})).status == 200
    assert (await fleet["e1"].post(COMPLETIONS, b"x" * (5 << 20), "content-type: application/json")).status == 413


async def test_a_body_that_cannot_be_read_is_refused_as_without_subjects(fleet: Fleet) -> None:
    await two_engines(fleet, 0, FIELD)
    for body, headers, status in ((b"{", (), 400), (b"{}", ("content-type: text/plain",), 415), (b"{}", ("content-encoding: br",), 415)):
        assert (await fleet["e1"].post(COMPLETIONS, body, *headers)).status == status
    assert (await fleet["e1"].get("/v1/models")).status == 200


async def test_over_a_ramp_subjects_only_move_to_the_challenger_and_its_share_is_its_weight(fleet: Fleet) -> None:
    """``SUBJECTS=2000`` is the soak."""
    await fleet.start("e1", "e2")
    users = [f"user-{number}" for number in range(SUBJECTS)]
    before: dict[str, str] = dict.fromkeys(users, "r1")
    for weight in (1_000, 5_000, WHOLE):
        fleet.publish("r1", route("r2", "e2", weight=weight, slot=0), subject=(HEADER,), peers=("e1", "e2"))
        await fleet.until_ready()
        lists = await asyncio.gather(*(asked_in_turn(fleet, users[part::TOGETHER], part) for part in range(TOGETHER)))
        now = {user: revision for found in lists for user, revision in found}
        assert [user for user in users if before[user] == "r2" != now[user]] == [], "subjects moved back"
        share, expected = Counter(now.values())["r2"] / len(users), weight / WHOLE
        assert abs(share - expected) <= max(0.01, 4 * (expected * (1 - expected) / len(users)) ** 0.5)
        before = now


async def asked_in_turn(fleet: Fleet, users: list[str], part: int) -> list[tuple[str, str]]:
    """Ask for some users over one connection, half of the connections at each pod."""
    found = []
    async with connect(fleet["e1" if part % 2 else "e2"].port) as client:
        for user in users:
            client.send(post(COMPLETIONS, ASK, f"x-user-id: {user}"))
            answer = await client.answer()
            assert answer.status == 200
            found.append((user, answer.headers["x-llm-revision"]))
    return found
