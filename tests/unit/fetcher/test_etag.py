import hashlib

import pytest

from llm_fetcher.etag import EtagCheck, PartsMd5, part_sizes

MIB = 1024 * 1024


def _md5(body: bytes) -> bytes:
    return hashlib.md5(body, usedforsecurity=False).digest()


def _etag(body: bytes, part_bytes: int) -> str:
    parts = [_md5(body[at : at + part_bytes]) for at in range(0, len(body), part_bytes)]
    return f'etag:"{_md5(b"".join(parts)).hex()}-{len(parts)}"'


def _check(body: bytes, checksum: str, *, chunk: int = 1_000_000) -> EtagCheck:
    check = EtagCheck(checksum, len(body))
    for at in range(0, len(body), chunk):
        check.update(memoryview(body)[at : at + chunk])
    return check


@pytest.mark.parametrize(("mib", "size"), [(5, 12 * MIB + 7), (8, 16 * MIB), (16, 17 * MIB), (7, 14 * MIB), (3, 9 * MIB - 1), (128, 5)])
def test_bytes_are_proven_by_an_etag_of_parts_of_a_usual_or_an_even_size(mib: int, size: int) -> None:
    body = bytes(range(251)) * (size // 251 + 1)
    body = body[:size]
    checksum = _etag(body, mib * MIB)
    assert _check(body, checksum).matches is True
    assert _check(body[:-1] + b"\xff", checksum).matches is False


@pytest.mark.parametrize("chunk", [1, 3, 4, 5, 8, 100])
@pytest.mark.parametrize("size", [1, 3, 4, 8, 11])
def test_however_bytes_come_in_chunks_the_hash_of_the_parts_is_the_same(chunk: int, size: int) -> None:
    body = bytes(range(size))
    running = PartsMd5(4)
    for at in range(0, size, chunk):
        running.update(memoryview(body)[at : at + chunk])
    assert f'etag:"{running.hexdigest()}-{-(-size // 4)}"' == _etag(body, 4)


def test_an_etag_of_one_piece_is_the_md5() -> None:
    checksum = f'etag:"{_md5(b"weights").hex()}"'
    assert _check(b"weights", checksum).matches is True
    assert _check(b"WEIGHTS", checksum).matches is False
    assert not _check(b"weights", checksum).is_of_parts


@pytest.mark.parametrize("checksum", ['etag:"opaque"', f'etag:"{"0" * 32}-3"', "mtime:1"])
def test_what_is_made_in_no_known_way_says_nothing(checksum: str) -> None:
    assert _check(b"weights", checksum).matches is None


def test_a_large_file_has_so_few_sizes_that_fit_that_hashing_them_costs_little() -> None:
    assert part_sizes(5 * 1024 * MIB, 640) == [8 * MIB]
    assert part_sizes(5 * 1024 * MIB, 103) == [50 * MIB]
    assert part_sizes(0, 1) == []
