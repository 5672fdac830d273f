"""Names and labels are an interface: dashboards and the operator read them."""

import prometheus_client
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from llm_sidecar.counted import Counter, Histogram
from llm_sidecar.metrics import Metrics


def make() -> Metrics:
    return Metrics("chat", "e1", "vllm", "chat")


def series(metrics: Metrics, name: str) -> list[tuple[dict[str, str], float]]:
    families = text_string_to_metric_families(metrics.expose().decode())
    return [(sample.labels, sample.value) for family in families for sample in family.samples if sample.name == name]


def test_the_names_of_gen_ai_are_those_of_opentelemetry() -> None:
    metrics = make()
    bound = metrics.bind("chat", "r1")
    bound.duration.observe(0.3)
    bound.time_to_first_token.observe(0.02)
    bound.time_per_output_token.observe(0.02)
    bound.input_tokens.observe(7)
    bound.output_tokens.observe(5)
    labels = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "vllm",
        "gen_ai_request_model": "chat",
        "llm_revision": "r1",
    }
    assert series(metrics, "gen_ai_server_request_duration_seconds_count") == [({**labels, "error_type": ""}, 1)]
    assert series(metrics, "gen_ai_server_time_to_first_token_seconds_count") == [(labels, 1)]
    assert series(metrics, "gen_ai_server_time_per_output_token_seconds_count") == [(labels, 1)]
    assert series(metrics, "gen_ai_client_token_usage_sum") == [
        ({**labels, "gen_ai_token_type": "input"}, 7),
        ({**labels, "gen_ai_token_type": "output"}, 5),
    ]


def test_the_latest_names_count_tokens_in_sums_and_by_request_and_leave_the_times_alone() -> None:
    metrics = Metrics("chat", "e1", "vllm", "chat", latest_names=True)
    metrics.programmed("r1", 1, ["r1"])
    bound = metrics.bind("chat", "r1")
    for tokens in (7, 5):
        bound.input_tokens.observe(tokens)
    bound.output_tokens.observe(3)
    bound.duration.observe(1)
    labels = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "vllm", "gen_ai_request_model": "chat", "llm_revision": "r1"}
    assert series(metrics, "gen_ai_client_inference_usage_input_tokens_total") == [(labels, 12)]
    assert series(metrics, "gen_ai_client_inference_usage_output_tokens_total") == [(labels, 3)]
    assert series(metrics, "gen_ai_client_inference_operation_input_tokens_count") == [(labels, 2)]
    assert series(metrics, "gen_ai_client_inference_operation_output_tokens_sum") == [(labels, 3)]
    assert series(metrics, "gen_ai_server_request_duration_seconds_count") == [({**labels, "error_type": ""}, 1)]
    assert "token_usage" not in metrics.expose().decode()
    for number in range(2, 9):
        metrics.programmed(f"r{number}", number, [f"r{number}"])
    assert series(metrics, "gen_ai_client_inference_usage_input_tokens_total") == []


def test_buckets_are_those_of_the_convention() -> None:
    metrics = make()
    metrics.bind("chat", "r1")
    edges = [float(labels["le"]) for labels, _ in series(metrics, "gen_ai_client_token_usage_bucket")]
    assert edges[:4] == [1, 4, 16, 64]
    assert edges[13:15] == [67108864, float("inf")]


def test_children_are_bound_once() -> None:
    metrics = make()
    assert metrics.bind("chat", "r1") is metrics.bind("chat", "r1")
    assert metrics.bind("chat", "r1") is not metrics.bind("chat", "r2")


def test_errors_have_a_series_of_their_own() -> None:
    metrics = make()
    metrics.failed("chat", "r1", "queue_full", 0.1)
    ((labels, value),) = series(metrics, "gen_ai_server_request_duration_seconds_count")
    assert (labels["error_type"], value) == ("queue_full", 1)


def test_only_what_runs_is_in_the_info() -> None:
    metrics = make()
    metrics.programmed("r1", 1, ["r1"])
    metrics.programmed("r2", 2, ["r2"])
    assert series(metrics, "llm_sidecar_config_info") == [
        ({"deployment": "chat", "engine": "e1", "generation": "2", "revision": "r2"}, 1),
    ]


def test_figures_of_revisions_long_gone_are_forgotten() -> None:
    metrics = make()
    for number in range(10):
        metrics.programmed(f"r{number}", number, [f"r{number}"])
        metrics.bind("chat", f"r{number}").duration.observe(1)
    revisions = {labels["llm_revision"] for labels, _ in series(metrics, "gen_ai_server_request_duration_seconds_count")}
    assert revisions == {f"r{number}" for number in range(4, 10)}


def test_the_names_of_the_process_do_not_collide_with_the_engines() -> None:
    text = make().expose().decode()
    assert "llm_sidecar_process_resident_memory_bytes" in text
    assert "\nprocess_" not in text
    assert "_created" not in text


def test_a_histogram_counts_as_the_librarys_does() -> None:
    buckets = (1, 4, 16)
    registries = CollectorRegistry(), CollectorRegistry()
    ours = Histogram("tokens", "Tokens.", ("kind",), buckets=buckets, registry=registries[0]).labels("input")
    theirs = prometheus_client.Histogram("tokens", "Tokens.", ("kind",), buckets=buckets, registry=registries[1]).labels("input")
    for value in (0, 0.5, 1, 1.1, 4, 15.9, 16, 17, 1e9):
        ours.observe(value)
        theirs.observe(value)
    assert generate_latest(registries[0]) == generate_latest(registries[1])


def test_a_counter_counts_as_the_librarys_does() -> None:
    registries = CollectorRegistry(), CollectorRegistry()
    ours = Counter("verdicts", "Verdicts.", ("stage",), registry=registries[0]).labels("pii")
    theirs = prometheus_client.Counter("verdicts", "Verdicts.", ("stage",), registry=registries[1]).labels("pii")
    for value in (1, 0, 3):
        ours.inc(value)
        theirs.inc(value)
    ours.inc()
    theirs.inc()
    assert generate_latest(registries[0]) == generate_latest(registries[1])
