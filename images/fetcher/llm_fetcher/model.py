"""Whether a listing is a model that may be served: a configuration and safetensors, never pickles, which run code when loaded."""

from pathlib import PurePosixPath

from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.listing import Entry, Listing

CONFIG_NAMES = ("config.json", "params.json")
"""Hugging Face's and Mistral's own; an engine looks for them at the top of the model directory."""

SAFE_SUFFIXES = frozenset({".safetensors"})
UNSAFE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".gguf"})

_SHOWN_NAMES = 5


def model_files(listing: Listing, *, what: str) -> Listing:
    """Return the files that are fetched: all but pickles, or raise when nothing safe could be served from the rest."""
    top_level = [entry.path for entry in listing.entries if "/" not in entry.path]
    if not any(name in top_level for name in CONFIG_NAMES):
        raise FetchError(Reason.NOT_A_MODEL, f"{what} has no config.json: it holds {_shown(listing)}. {_nearest_hint(listing)}")
    if any(_suffix(entry) in SAFE_SUFFIXES for entry in listing.entries):
        return Listing(tuple(entry for entry in listing.entries if _suffix(entry) not in UNSAFE_SUFFIXES))
    unsafe = [entry.path for entry in listing.entries if _suffix(entry) in UNSAFE_SUFFIXES]
    if unsafe:
        raise FetchError(
            Reason.UNSAFE_WEIGHTS,
            f"{what} has its weights only as {unsafe[0]!r}, a format that can run code when it is loaded: convert them to *.safetensors",
        )
    raise FetchError(Reason.NOT_A_MODEL, f"{what} has a configuration but no weights (*.safetensors): it holds {_shown(listing)}")


def _suffix(entry: Entry) -> str:
    return PurePosixPath(entry.path).suffix.lower()


def _shown(listing: Listing) -> str:
    names = [entry.path for entry in listing.entries[:_SHOWN_NAMES]]
    more = len(listing.entries) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _nearest_hint(listing: Listing) -> str:
    for entry in listing.entries:
        directory, _, name = entry.path.rpartition("/")
        if name in CONFIG_NAMES:
            return f"There is one in {directory!r}: add that to the source"
    return "Name the directory that has it"
