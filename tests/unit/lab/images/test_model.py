import json
import os
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.lab.images import model


@pytest.fixture(name="folder", scope="module")
def folder_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    before = os.umask(0o077)
    try:
        model.make(folder, 0)
    finally:
        os.umask(before)
    return folder


@pytest.fixture(name="header", scope="module")
def header_fixture(folder: Path) -> dict[str, Any]:
    data = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    assert (8 + length) % 8 == 0
    assert max(tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__") == len(data) - 8 - length
    return header


def test_every_file_is_readable_by_the_engines_user_whatever_the_umask(folder: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    assert folder.stat().st_mode & 0o777 == 0o755


def test_one_seed_makes_one_model_and_another_seed_other_weights_alone(folder: Path, tmp_path: Path) -> None:
    model.make(tmp_path / "same", 0)
    model.make(tmp_path / "other", 7)
    for path in folder.iterdir():
        assert (tmp_path / "same" / path.name).read_bytes() == path.read_bytes()
        assert ((tmp_path / "other" / path.name).read_bytes() == path.read_bytes()) == (path.name != "model.safetensors")


def test_the_tensors_have_the_names_and_shapes_the_configuration_promises(folder: Path, header: dict[str, Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    hidden, heads, kv_heads, size = (config[key] for key in ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim"))
    shapes = {name: tensor["shape"] for name, tensor in header.items() if name != "__metadata__"}
    assert shapes["model.embed_tokens.weight"] == [config["vocab_size"], hidden]
    for layer in range(config["num_hidden_layers"]):
        attention = f"model.layers.{layer}.self_attn"
        assert shapes[f"{attention}.q_proj.weight"] == [heads * size, hidden]
        assert shapes[f"{attention}.k_proj.weight"] == shapes[f"{attention}.v_proj.weight"] == [kv_heads * size, hidden]
        assert shapes[f"{attention}.o_proj.weight"] == [hidden, heads * size]
        assert shapes[f"model.layers.{layer}.mlp.down_proj.weight"] == [hidden, config["intermediate_size"]]
    assert len(shapes) == 2 + 9 * config["num_hidden_layers"]
    assert config["tie_word_embeddings"], "there is no output matrix in the file"


def test_the_tensors_lie_one_behind_the_other(header: dict[str, Any]) -> None:
    spans = sorted(tensor["data_offsets"] for name, tensor in header.items() if name != "__metadata__")
    assert spans[0][0] == 0
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    for name, tensor in header.items():
        if name != "__metadata__":
            assert tensor["data_offsets"][1] - tensor["data_offsets"][0] == 2 * int(np.prod(tensor["shape"]))


@given(st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**100), max_value=2.0**100))
def test_a_number_becomes_the_nearest_one_of_the_shorter_type(value: float) -> None:
    (bits,) = model._bfloat16(np.array([value], dtype=np.float32))
    below, above = (
        np.array([pattern << 16], dtype=np.uint32).view(np.float32)[0] for pattern in (int(bits) - 1 & 0xFFFF, int(bits) + 1 & 0xFFFF)
    )
    chosen = np.array([int(bits) << 16], dtype=np.uint32).view(np.float32)[0]
    distance = abs(float(chosen) - value)
    assert all(distance <= abs(float(other) - value) for other in (below, above) if np.isfinite(other))


@given(st.text(max_size=40))
def test_the_tokenizer_gives_back_any_text(folder: Path, text: str) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = tokenizer.encode(text).ids
    assert ids[0] == model.SPECIAL.index("<s>")
    assert max(ids) < model.VOCABULARY
    if not any(token in text for token in model.SPECIAL):
        assert tokenizer.decode(ids) == text


def test_the_special_tokens_have_the_numbers_the_configuration_names(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = json.loads((folder / "config.json").read_text())
    assert tokenizer.token_to_id("<s>") == config["bos_token_id"]
    assert tokenizer.token_to_id("</s>") == config["eos_token_id"]
    assert tokenizer.token_to_id("<pad>") == config["pad_token_id"]
    assert tokenizer.get_vocab_size() == config["vocab_size"]
    assert tokenizer.token_to_id("<|end|>") in json.loads((folder / "generation_config.json").read_text())["eos_token_id"]


def test_a_model_that_is_there_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_CACHE_DIR", str(tmp_path))
    folder = model.ensure(3)
    made = (folder / "config.json").stat().st_mtime_ns
    assert (model.ensure(3), (folder / "config.json").stat().st_mtime_ns) == (folder, made)
    assert model.ensure(4) != folder
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
