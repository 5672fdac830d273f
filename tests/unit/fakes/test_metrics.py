from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.stub_engine.families import token_bounds
from tests.fakes.stub_engine.metrics import Metrics
from tests.properties import tried

REAL = Path(__file__).with_name("data") / "vllm_0_32_0_series.txt"
"""Every series of a real vLLM 0.32.0 with --max-model-len 512, without its LoRA, sleep mode and tool call ones."""


def _series(metrics: Metrics) -> set[str]:
    found = set()
    for family in text_string_to_metric_families(metrics.render()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()) if name != "model_name")
            found.add(f"{sample.name}{{{labels}}}")
    return found


def test_a_fresh_stub_shows_exactly_the_series_of_a_real_vllm() -> None:
    ours = {name for name in _series(Metrics("tiny", 512)) if name.startswith("vllm:") and "cache_config_info" not in name}
    assert ours == set(REAL.read_text().splitlines())


def test_the_first_served_name_is_on_every_series_of_the_engine() -> None:
    for family in text_string_to_metric_families(Metrics('a"b\\c', 512).render()):
        if family.name.startswith("vllm:"):
            assert {sample.labels["model_name"] for sample in family.samples} == {'a"b\\c'}


@pytest.mark.parametrize(("length", "last"), [(512, 500.0), (8192, 5000.0), (1, 1.0), (131_072, 100_000.0)])
def test_token_buckets_grow_with_the_context(length: int, last: float) -> None:
    bounds = token_bounds(length)
    assert bounds[-1] == last
    assert list(bounds) == sorted(set(bounds))


@given(st.lists(st.floats(0, 10_000), max_size=20))
@tried(20)
def test_histograms_are_cumulative_and_add_up(values: list[float]) -> None:
    metrics = Metrics("tiny", 512)
    for value in values:
        metrics.observe("time_to_first_token_seconds", value)
    family = next(each for each in text_string_to_metric_families(metrics.render()) if each.name == "vllm:time_to_first_token_seconds")
    buckets = [(float(sample.labels["le"]), sample.value) for sample in family.samples if sample.name.endswith("_bucket")]
    assert all(count == sum(value <= bound for value in values) for bound, count in buckets)
    total = next(sample.value for sample in family.samples if sample.name.endswith("_sum"))
    assert total == pytest.approx(sum(values))


def test_a_reset_forgets_everything() -> None:
    metrics = Metrics("tiny", 512)
    before = _values(metrics)
    metrics.add("prompt_tokens", 5)
    metrics.observe("request_params_n", 1)
    metrics.count_http("/health", "GET", 200)
    assert _values(metrics) != before
    metrics.reset()
    assert _values(metrics) == before


def _values(metrics: Metrics) -> list[str]:
    return [line for line in metrics.render().splitlines() if "_created" not in line and "start_time" not in line]


def test_a_series_vllm_does_not_have_cannot_be_counted() -> None:
    with pytest.raises(KeyError):
        Metrics("tiny", 512).add("odd")
    with pytest.raises(AssertionError):
        Metrics("tiny", 512).add("request_success", finished_reason="odd")
