import json

from llm_sidecar.shadow import pairs
from llm_sidecar.shadow.pairs import Pair, Pairs, Told


def pair(number: int, size: int = 10, canary: str = "r2") -> Pair:
    told = [Told(revision, 200, b"application/json", b"x" * size, 0.25) for revision in ("r1", canary)]
    return Pair(str(number).encode(), 1_000.0004, b"/v1/completions", b"\xff ask", *told)


def shown(kept: Pairs) -> list[str]:
    return [each["id"] for each in json.loads(kept.expose())["pairs"]]


def test_a_pair_has_the_request_and_both_answers() -> None:
    kept = Pairs()
    kept.keep(pair(1))
    told = {"status": 200, "contentType": "application/json", "body": "x" * 10, "seconds": 0.25}
    assert json.loads(kept.expose()) == {
        "schemaVersion": 1,
        "epoch": kept.epoch,
        "kept": 1,
        "pairs": [
            {
                "id": "1",
                "at": 1000.0,
                "path": "/v1/completions",
                "request": "\ufffd ask",
                "stable": {"revision": "r1", **told},
                "canary": {"revision": "r2", **told},
            }
        ],
    }


def test_the_oldest_make_room_and_are_still_counted() -> None:
    kept = Pairs()
    for number in range(pairs.PAIRS_MAX + 5):
        kept.keep(pair(number))
    assert (len(kept), kept.kept) == (pairs.PAIRS_MAX, pairs.PAIRS_MAX + 5)
    assert shown(kept)[0] == "5"


def test_they_never_hold_more_than_their_bytes() -> None:
    kept = Pairs()
    for number in range(50):
        kept.keep(pair(number, size=pairs.BYTES_MAX // 20))
    assert len(kept) == 9
    kept.keep(pair(51, size=pairs.BYTES_MAX))
    assert len(kept) == 0
    kept.keep(pair(52))
    assert shown(kept) == ["52"]


def test_what_a_revision_said_that_is_gone_is_forgotten() -> None:
    kept = Pairs()
    for number, canary in enumerate(("r2", "r3", "r2")):
        kept.keep(pair(number, canary=canary))
    kept.forget({"r1", "r3"})
    assert shown(kept) == ["1"]
