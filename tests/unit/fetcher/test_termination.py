import json

from hypothesis import given
from hypothesis import strategies as st

from llm_fetcher import termination
from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.listing import Entry, Listing


def test_a_resolved_source_is_told_by_digest_bytes_and_files() -> None:
    listing = Listing((Entry("config.json", 2, "etag:x"), Entry("model.safetensors", 2**43, "etag:y")))
    assert json.loads(termination.resolved(listing)) == {"digest": listing.digest, "bytes": 2 + 2**43, "files": 2}


@given(st.text(max_size=3000), st.sampled_from(Reason))
def test_an_error_is_always_json_of_at_most_a_kibibyte(message: str, reason: Reason) -> None:
    written = termination.failed(FetchError(reason, message))
    assert len(written.encode()) <= 1024
    error = json.loads(written)["error"]
    assert error["reason"] == reason
    said = error["message"]
    assert said == message.encode(errors="replace").decode() or (said.endswith("…") and len(said) > 50)


def test_a_short_error_is_told_whole() -> None:
    written = termination.failed(FetchError(Reason.SOURCE_DENIED, "no ü"))
    assert json.loads(written) == {"error": {"reason": "SourceDenied", "message": "no ü"}}
