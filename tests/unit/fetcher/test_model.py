import pytest

from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.listing import Entry, Listing
from llm_fetcher.model import model_files


def _listing(*paths: str) -> Listing:
    return Listing(tuple(sorted(Entry(path, 1, "etag:x") for path in paths)))


def test_pickles_beside_safetensors_are_left_out() -> None:
    found = model_files(
        _listing("config.json", "model.safetensors", "pytorch_model.bin", "original/consolidated.00.PTH", "tokenizer.json"), what="x"
    )
    assert [entry.path for entry in found.entries] == ["config.json", "model.safetensors", "tokenizer.json"]


def test_a_mistral_model_needs_no_config_json() -> None:
    assert model_files(_listing("params.json", "consolidated.safetensors"), what="x").entries


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "consolidated.pth", "last.ckpt", "m.gguf", "weights.PT"])
def test_weights_that_can_run_code_are_refused_when_there_are_no_others(name: str) -> None:
    with pytest.raises(FetchError, match=r"convert them to \*.safetensors") as caught:
        model_files(_listing("config.json", name), what="s3://models/x")
    assert caught.value.reason == Reason.UNSAFE_WEIGHTS
    assert name in caught.value.message


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (("readme.md",), "no config.json: it holds readme.md. Name the directory that has it"),
        (("v1/config.json", "v1/model.safetensors"), "There is one in 'v1': add that to the source"),
        (tuple(f"f{number}" for number in range(9)), "it holds f0, f1, f2, f3, f4 and 4 more"),
        (("config.json", "tokenizer.json"), "a configuration but no weights"),
    ],
)
def test_what_is_no_model_is_told_by_what_was_found(paths: tuple[str, ...], words: str) -> None:
    with pytest.raises(FetchError) as caught:
        model_files(_listing(*paths), what="s3://models/x")
    assert caught.value.reason == Reason.NOT_A_MODEL
    assert words in caught.value.message
