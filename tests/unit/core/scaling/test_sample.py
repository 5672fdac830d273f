"""What is missing, broken or another pod's is no reading; it is never a pod with nothing to do."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from llm_operator.core.scaling.exposition import SIZE_MAX, SampleError
from llm_operator.core.scaling.sample import MOST, Expected, Most, sample
from llm_sidecar.errors import BUSY
from llm_sidecar.metrics import Metrics as SidecarMetrics
from tests.unit.core.scaling.pods import EXPECTED, at, told

Change = Callable[[bytes], bytes]


def without(name: str) -> Change:
    return lambda body: b"\n".join(line for line in body.split(b"\n") if not line.startswith(name.encode()))


def valued(name: str, value: str) -> Change:
    return lambda body: re.sub(rf"(?m)^({re.escape(name)}(?:\{{.*\}})?) .*$".encode(), rf"\1 {value}".encode(), body)


def swapped(old: str, new: str) -> Change:
    return lambda body: body.replace(old.encode(), new.encode())


def twice(name: str) -> Change:
    return lambda body: body + next(line for line in body.split(b"\n") if line.startswith(name.encode())) + b"\n"


PATHOLOGIES: dict[str, Change] = {
    "nothing": lambda _: b"",
    "the sidecar's figures alone": lambda body: body[: body.index(b"# HELP vllm:")],
    "the engine's figures alone": lambda body: body[body.index(b"# HELP vllm:") :],
    "half of it": lambda body: body[: len(body) // 2],
    "a page of HTML": lambda _: b"<html><body>502 Bad Gateway</body></html>",
    "JSON": lambda _: b'{"inflight": 0}',
    "no text": lambda body: b"\xff\xfe" + body,
    "10 MB": lambda body: body + b"#" * 10_000_000,
    "running is missing": without("vllm:num_requests_running"),
    "waiting is missing": without("vllm:num_requests_waiting{"),
    "the queue is missing": without("llm_sidecar_queue_depth"),
    "held is missing": without("llm_sidecar_held"),
    "prompt tokens are missing": without("vllm:prompt_tokens_total"),
    "steps are missing": without("vllm:iteration_tokens_total_count"),
    "a histogram has no sum": without("vllm:inter_token_latency_seconds_sum"),
    "running is NaN": valued("vllm:num_requests_running", "NaN"),
    "running is infinite": valued("vllm:num_requests_running", "+Inf"),
    "running is more than can be": valued("vllm:num_requests_running", "1e160"),
    "more run than there are places": valued("vllm:num_requests_running", "5000"),
    "a counter is more than can be": valued("vllm:generation_tokens_total", "1.1e15"),
    "running is negative": valued("vllm:num_requests_running", "-1"),
    "a counter is negative": valued("vllm:prompt_tokens_total", "-5"),
    "a value is a word": valued("vllm:num_requests_waiting", "many"),
    "a value is empty": valued("vllm:num_requests_running", ""),
    "held is NaN": valued("llm_sidecar_held", "nan"),
    "more is cached than there was": valued("vllm:prompt_tokens_cached_total", "1e12"),
    "names with an underscore": swapped("vllm:", "vllm_"),
    "another model": swapped('model_name="chat"', 'model_name="chat-rank-0"'),
    "no model": swapped('model_name="chat"', 'model="chat"'),
    "one series of another model": lambda body: body + b'vllm:num_requests_running{engine="1",model_name="other"} 0.0\n',
    "another deployment": swapped('deployment="chat"', 'deployment="other"'),
    "another engine": swapped('engine="e1"', 'engine="e2"'),
    "what was refused is NaN": lambda body: body + b'llm_sidecar_shed_total{reason="queue_full"} NaN\n',
    "no snapshot yet": without("llm_sidecar_config_info"),
    "a series is there twice": twice("vllm:num_requests_running"),
    "labels do not end": swapped('num_requests_running{engine="0"', "num_requests_running{engine=0"),
    "a line is cut": lambda body: body + b"vllm:num_requests_running{",
}


def test_a_pod_tells_its_load() -> None:
    found = sample(told(), EXPECTED, at(5))
    assert (found.at, found.running, found.waiting, found.kv_tokens) == (at(5), 3, 2 + 4 + 1, 32_000)
    counters = found.counters
    assert (counters.prefill_tokens, counters.generated_tokens, counters.steps, counters.gaps) == (70, 11, 11, 10)
    assert (counters.prompts, counters.prompt_sum, counters.outputs, counters.output_sum) == (1, 100, 1, 11)
    assert counters.gap_seconds == pytest.approx(0.2)
    assert found.process
    assert min(found.process) > 0


def test_a_reading_says_what_its_engine_can_do_at_most() -> None:
    assert sample(told(), EXPECTED, at(5)).most == MOST
    assert sample(told(), replace(EXPECTED, most=Most(64, 2048)), at(5)).most == Most(64, 2048)


def test_of_what_was_refused_counts_what_there_was_no_place_for() -> None:
    assert sample(told(), EXPECTED, at(5)).refused == 0
    metrics = SidecarMetrics("chat", "e1", "vllm", "chat")
    full, others = {"queue_full": 5, "queue_timeout": 2, "bodies_full": 1}, ("draining", "no_revision", "start_failed")
    for reason, times in (full | dict.fromkeys(others, 100)).items():
        metrics.shed.labels(reason).inc(times)
    shed = b"".join(line + b"\n" for line in metrics.expose().split(b"\n") if line.startswith(b"llm_sidecar_shed"))
    assert sample(told() + shed, EXPECTED, at(5)).refused == 8
    assert full.keys() == BUSY, "what the sidecar says when it is full"


def test_the_ranks_of_an_engine_are_added() -> None:
    rank = b'vllm:num_requests_running{engine="1",model_name="chat"} 2.0\n'
    found = sample(told() + rank, EXPECTED, at(0))
    assert (found.running, found.ranks) == (5, 2)


def test_each_rank_of_an_engine_may_have_all_its_places_taken() -> None:
    few = replace(EXPECTED, most=Most(64, 2048))
    rank = b'vllm:num_requests_running{engine="1",model_name="chat"} 64.0\n'
    full = valued("vllm:num_requests_running", "64")(told()) + rank
    assert sample(full, few, at(0)).running == 128
    with pytest.raises(SampleError, match="works on more than 64 requests at a time"):
        sample(told(running=65) + rank, few, at(0))


@pytest.mark.parametrize("pathology", PATHOLOGIES)
def test_no_reading_is_made_of(pathology: str) -> None:
    with pytest.raises(SampleError):
        sample(PATHOLOGIES[pathology](told()), EXPECTED, at(0))


def test_what_is_not_asked_for_is_not_read() -> None:
    body = told() + b"vllm:num_requests_running_by_mood{ NaN\nllm_sidecar_held_back NaN\nsomething else\n"
    assert sample(body, EXPECTED, at(0)).running == 3


def test_lines_may_end_as_on_windows_and_have_times() -> None:
    body = told().replace(b"\n", b" 1700000000000\r\n")
    assert sample(body, EXPECTED, at(0)).running == 3


def test_an_engine_need_not_tell_its_cache_or_when_it_began() -> None:
    found = sample(without("vllm:cache_config_info")(without("process_start_time_seconds")(told())), EXPECTED, at(0))
    assert (found.kv_tokens, found.process) == (0, None)
    assert sample(swapped("num_gpu_blocks", "blocks")(told()), EXPECTED, at(0)).kv_tokens == 0


@pytest.mark.parametrize("blocks", ["-1", "0", "nan", "inf", "1e15", "None"])
def test_a_cache_that_cannot_be_is_one_that_is_not_told(blocks: str) -> None:
    told_before = sample(told(), EXPECTED, at(0)).kv_tokens
    assert told_before
    found = sample(swapped('num_gpu_blocks="2000"', f'num_gpu_blocks="{blocks}"')(told()), EXPECTED, at(0))
    assert found.kv_tokens == 0


def test_the_name_a_model_is_served_under_may_have_any_characters() -> None:
    body = swapped('model_name="chat"', r'model_name="a,\"b\"}"')(told())
    assert sample(body, Expected("chat", "e1", r"a,\"b\"}"), at(0)).running == 3


def test_a_body_may_be_as_long_as_the_longest() -> None:
    body = told()
    assert sample(body + b"#" * (SIZE_MAX - len(body)), EXPECTED, at(0)).running == 3
