"""A tiny Llama with random weights that a real engine serves: half a million parameters, made without torch in a second.

Weights and tokenizer follow from the seed alone. Another seed is another model: its greedy answers differ.
"""

import json
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tests.lab.images import places
from tests.lab.state import cache_dir

VOCABULARY = 1024
HIDDEN, FEED_FORWARD, LAYERS, HEADS, KEY_VALUE_HEADS, HEAD_DIM = 128, 256, 2, 4, 2, 32
MAX_LENGTH = 2048
SPREAD = 0.2
"""Standard deviation of the weights: with the usual 0.02 every prompt gets nearly the same answer."""
SPECIAL = ("<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>", "<|tool|>", "<|end|>")
_PAD, _BEGIN, _EOS, _END = (SPECIAL.index(token) for token in ("<pad>", "<s>", "</s>", "<|end|>"))
_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_CORPUS = places.REPO / "LICENSE"
_FLOAT32_TO_BFLOAT16_BITS = 16


def ensure(seed: int = 0) -> Path:
    """Return the folder of the model of this seed, made when it is not there."""
    folder = cache_dir() / "models" / (f"tiny-{seed}" if seed else "tiny")
    key = places.fingerprint(str(seed), _CORPUS, places.own_source("model"))
    stamp = folder.with_suffix(".key")
    if not (folder.exists() and stamp.exists() and stamp.read_text() == key):
        stamp.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=places.scratch()) as work:
            made = Path(work) / "model"
            make(made, seed)
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            made.rename(folder)
        stamp.write_text(key)
    return folder


def make(folder: Path, seed: int) -> None:
    """Write the model's files into a new folder, readable by everyone."""
    folder.mkdir(parents=True)
    for name, content in _configuration().items():
        (folder / name).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    (folder / "tokenizer.json").write_text(_tokenizer().to_str(pretty=False))
    (folder / "model.safetensors").write_bytes(_safetensors(dict(_weights(seed))))
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)


def _configuration() -> dict[str, dict[str, Any]]:
    ids = {"bos_token_id": _BEGIN, "pad_token_id": _PAD}
    return {
        "config.json": ids
        | {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "dtype": "bfloat16",
            "vocab_size": VOCABULARY,
            "hidden_size": HIDDEN,
            "intermediate_size": FEED_FORWARD,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KEY_VALUE_HEADS,
            "head_dim": HEAD_DIM,
            "max_position_embeddings": MAX_LENGTH,
            "initializer_range": SPREAD,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "hidden_act": "silu",
            "tie_word_embeddings": True,
            "eos_token_id": _EOS,
        },
        "generation_config.json": ids | {"eos_token_id": [_EOS, _END]},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": MAX_LENGTH,
            "bos_token": SPECIAL[_BEGIN],
            "eos_token": SPECIAL[_EOS],
            "pad_token": SPECIAL[_PAD],
            "additional_special_tokens": list(SPECIAL[3:]),
            "chat_template": _CHAT_TEMPLATE,
        },
    }


def _tokenizer() -> Tokenizer:
    """Return a byte-level tokenizer trained on a text every checkout has: any input has tokens, frequent English words have one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(_CORPUS.read_text().splitlines(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{SPECIAL[_BEGIN]} $A", special_tokens=[(SPECIAL[_BEGIN], _BEGIN)])
    return tokenizer


def _weights(seed: int) -> Iterator[tuple[str, npt.NDArray[np.uint16]]]:
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> npt.NDArray[np.uint16]:
        return _bfloat16(random.standard_normal((rows, columns), dtype=np.float32) * np.float32(SPREAD))

    ones = _bfloat16(np.ones(HIDDEN, dtype=np.float32))
    yield "model.embed_tokens.weight", matrix(VOCABULARY, HIDDEN)
    yield "model.norm.weight", ones
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        yield f"{prefix}.input_layernorm.weight", ones
        yield f"{prefix}.post_attention_layernorm.weight", ones
        yield f"{prefix}.self_attn.q_proj.weight", matrix(HEADS * HEAD_DIM, HIDDEN)
        yield f"{prefix}.self_attn.k_proj.weight", matrix(KEY_VALUE_HEADS * HEAD_DIM, HIDDEN)
        yield f"{prefix}.self_attn.v_proj.weight", matrix(KEY_VALUE_HEADS * HEAD_DIM, HIDDEN)
        yield f"{prefix}.self_attn.o_proj.weight", matrix(HIDDEN, HEADS * HEAD_DIM)
        yield f"{prefix}.mlp.gate_proj.weight", matrix(FEED_FORWARD, HIDDEN)
        yield f"{prefix}.mlp.up_proj.weight", matrix(FEED_FORWARD, HIDDEN)
        yield f"{prefix}.mlp.down_proj.weight", matrix(HIDDEN, FEED_FORWARD)


def _bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Return the upper halves of the numbers, rounded to nearest: numpy has no such type."""
    bits = values.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> _FLOAT32_TO_BFLOAT16_BITS) & 1)) >> _FLOAT32_TO_BFLOAT16_BITS).astype(np.uint16)


def _safetensors(tensors: dict[str, npt.NDArray[np.uint16]]) -> bytes:
    """Return the file format: the length of a JSON header, the header, the numbers."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [offset, offset + tensor.nbytes]}
        offset += tensor.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(tensor.astype("<u2").tobytes() for tensor in tensors.values())
