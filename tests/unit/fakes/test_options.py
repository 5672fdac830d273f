import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.stub_engine.options import Options, parse

RENDERED = [
    *("--model", "/model", "--served-model-name", "chat", "--host", "127.0.0.1", "--port", "8000", "--disable-fastapi-docs"),
    *("--shutdown-timeout", "5", "--enable-force-include-usage", "--tensor-parallel-size", "2", "--max-model-len", "4096"),
    *("--gpu-memory-utilization", "0.9", "--max-num-seqs", "64", "--enable-prefix-caching", "--quantization", "awq"),
]


def test_the_command_line_of_an_engine_is_understood() -> None:
    options = parse(RENDERED, {})
    assert (options.model, options.names, options.host, options.port) == ("/model", ("chat",), "127.0.0.1", 8000)
    assert (options.shutdown_timeout_s, options.force_usage, options.max_model_len, options.max_num_seqs) == (5, True, 4096, 64)


@pytest.mark.parametrize("arguments", [["serve", "m"], ["m"], ["--model", "m"], ["--model=m"], ["serve", "--model", "m"]])
def test_the_model_may_be_given_in_each_of_vllms_ways(arguments: list[str]) -> None:
    assert parse(arguments, {}).names == ("m",)


def test_several_names_and_keys_are_read() -> None:
    options = parse(["serve", "m", "--served-model-name", "a", "b", "--api-key", "k1", "k2"], {"VLLM_API_KEY": "k3"})
    assert (options.names, sorted(options.api_keys)) == (("a", "b"), ["k1", "k2", "k3"])


@pytest.mark.parametrize(("text", "length"), [("4096", 4096), ("8k", 8000), ("8K", 8192), ("0.5m", 500_000), ("1M", 1_048_576)])
def test_a_length_may_have_a_unit(text: str, length: int) -> None:
    assert parse(["--max-model-len", text], {}).max_model_len == length


def test_pace_comes_from_the_environment() -> None:
    pace = parse([], {"STUB_TOKENS_PER_S": "12.5", "STUB_DEFAULT_TOKENS": "7", "STUB_STARTUP_S": "3"}).pace
    assert (pace.tokens_per_s, pace.default_tokens, pace.startup_s, pace.ttft_s) == (12.5, 7, 3.0, Options().pace.ttft_s)


_KNOWN = {
    "model",
    "served-model-name",
    "host",
    "port",
    "shutdown-timeout",
    "max-model-len",
    "max-num-seqs",
    "max-num-queued-reqs",
    "api-key",
}
_names = st.from_regex(r"--[a-z][a-z0-9-]{0,20}(\.[a-z]+)?\+?", fullmatch=True).filter(lambda name: name[2:] not in _KNOWN)


@given(
    st.lists(st.one_of(st.tuples(_names), st.tuples(_names, st.text(max_size=8).filter(lambda text: not text.startswith("-")))), max_size=8)
)
def test_no_flag_of_vllm_is_refused(flags: list[tuple[str, ...]]) -> None:
    arguments = [*RENDERED, *(word for flag in flags for word in flag)]
    assert parse(arguments, {}).names == ("chat",)
