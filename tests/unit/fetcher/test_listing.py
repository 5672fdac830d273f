from itertools import count, repeat
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.listing import MAX_FILES, Entry, Listing, make_listing, without_folder_markers

_entries = st.lists(
    st.builds(
        Entry,
        path=st.text(alphabet="abü ", min_size=1, max_size=8).map(lambda name: f"f{name}"),
        size=st.integers(0, 2**50),
        checksum=st.text(alphabet='0123456789abcdef"-:', max_size=8).map(lambda text: f"etag:{text}"),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda entry: entry.path,
)

GOLDEN = (
    Entry("config.json", 2, 'etag:"99914b932bd37a50b983c5e7c90ae93b"'),
    Entry("sub/ü.safetensors", 2**40, "mtime:1700000000000000000"),
)


def test_the_digest_of_a_known_listing_never_changes() -> None:
    assert make_listing(GOLDEN, what="x").digest == "sha256:9a224a0766be027bdbd858883fb0000b0d983e360cc2fd532ef640b2b4b4bb6c"


@given(_entries, st.randoms())
def test_the_order_in_which_a_store_lists_does_not_matter(entries: list[Entry], order: Random) -> None:
    shuffled = list(entries)
    order.shuffle(shuffled)
    assert make_listing(shuffled, what="x") == make_listing(entries, what="x")


@given(_entries, _entries)
def test_two_listings_have_one_digest_only_if_they_are_equal(one: list[Entry], other: list[Entry]) -> None:
    first, second = make_listing(one, what="x"), make_listing(other, what="x")
    assert (first.digest == second.digest) == (first == second)


@given(_entries, st.data())
def test_every_part_of_every_entry_is_in_the_digest(entries: list[Entry], data: st.DataObject) -> None:
    listing = make_listing(entries, what="x")
    index = data.draw(st.integers(0, len(entries) - 1))
    old = listing.entries[index]
    for new in (
        Entry(f"{old.path}x", old.size, old.checksum),
        Entry(old.path, old.size + 1, old.checksum),
        Entry(old.path, old.size, "other"),
    ):
        changed = Listing(tuple(sorted((*listing.entries[:index], new, *listing.entries[index + 1 :]))))
        assert changed.digest != listing.digest


@given(_entries)
def test_a_source_without_folder_markers_keeps_its_digest(entries: list[Entry]) -> None:
    kept = make_listing(without_folder_markers(entries), what="x")
    assert kept.digest == make_listing(entries, what="x").digest


def test_an_empty_object_at_the_place_of_a_directory_is_a_marker_and_dropped_wherever_it_is_listed() -> None:
    files = [Entry("a/b/c.json", 3, "etag:c"), Entry("empty.txt", 0, "etag:e"), Entry("a/empty.txt", 0, "etag:e")]
    markers = [Entry("a", 0, "etag:m"), Entry("a/b", 0, "etag:m")]
    for listed in ([*markers, *files], [*files, *markers]):
        assert make_listing(without_folder_markers(listed), what="x") == make_listing(files, what="x")


def test_a_directory_that_holds_only_a_directory_is_a_marker_too() -> None:
    listed = [Entry("config.json", 2, "etag:c"), Entry("a", 0, "etag:m"), Entry("a/b", 0, "etag:m"), Entry("a/b/c", 0, "etag:m")]
    assert [entry.path for entry in make_listing(without_folder_markers(listed), what="x").entries] == ["a/b/c", "config.json"]


def test_a_file_with_bytes_at_the_place_of_a_directory_is_refused() -> None:
    listed = [Entry("a", 1, "etag:m"), Entry("a/b", 1, "etag:b")]
    with pytest.raises(FetchError, match="holds both 'a' and 'a/b'"):
        make_listing(without_folder_markers(listed), what="x")


def test_empty_objects_without_end_are_given_up_and_not_held() -> None:
    endless = (Entry(f"f{number}", 0, "etag:m") for number in count())
    with pytest.raises(FetchError, match="more than 10000 files"):
        make_listing(without_folder_markers(endless), what="x")


def test_nothing_is_said_to_be_empty_with_what_to_check() -> None:
    with pytest.raises(FetchError, match="s3://models/x holds no files: check the bucket and prefix") as caught:
        make_listing([], what="s3://models/x")
    assert caught.value.reason == Reason.SOURCE_EMPTY


def test_an_endless_listing_is_given_up_early() -> None:
    with pytest.raises(FetchError, match=f"more than {MAX_FILES} files"):
        make_listing(repeat(Entry("f", 1, "etag:x")), what="x")


def test_an_unsafe_path_makes_the_whole_listing_unusable() -> None:
    with pytest.raises(FetchError, match="climbs out"):
        make_listing([Entry("config.json", 2, "etag:x"), Entry("../x", 1, "etag:y")], what="x")
