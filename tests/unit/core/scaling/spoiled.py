"""Figures that are wrong: how each comes of what a pod would have said, and the text it is read from."""

from llm_operator.core.scaling.sample import Sample

BAD = {
    "no answer": "",
    "running is NaN": "running=nan",
    "waiting is negative": "waiting=-1",
    "a counter is negative": "prefill_tokens=-5",
    "more run than can": "running=5000",
    "running a hundredfold": "running*100",
    "running a thousandfold": "running*1000",
    "waiting a hundredfold": "waiting*100",
    "waiting a thousandfold": "waiting*1000",
    "a million wait": "waiting=1e6",
    "prompts a hundredfold": "prefill_tokens*100",
    "prompts a thousandfold": "prefill_tokens*1000",
    "more prompts than can be read": "reads",
    "counts anew": "anew",
    "what it said before": "stale",
    "another pod's figures": "another",
    "no waiting": "waiting?",
    "no prompts": "prefill_tokens?",
}
"""Readings that are none, or are wrong: how each comes of what the pod would have said."""

_NAMES = {
    "running": "vllm:num_requests_running",
    "waiting": "vllm:num_requests_waiting",
    "prefill_tokens": "vllm:prompt_tokens_total",
    "generated_tokens": "vllm:generation_tokens_total",
    "steps": "vllm:iteration_tokens_total_count",
    "gaps": "vllm:inter_token_latency_seconds_count",
    "gap_seconds": "vllm:inter_token_latency_seconds_sum",
    "prompts": "vllm:request_prompt_tokens_count",
    "prompt_sum": "vllm:request_prompt_tokens_sum",
    "outputs": "vllm:request_generation_tokens_count",
    "output_sum": "vllm:request_generation_tokens_sum",
}


def text(told: Sample, how: str = "") -> bytes:
    """Return a reading as the text it is read from, with one of its figures changed."""
    assert told.process is not None
    figures = {"running": told.running, "waiting": told.waiting, **told.counters._asdict()}
    name, factor, value = how.partition("*") if "*" in how else how.partition("=")
    if factor:
        figures[name] = (figures[name] + 1) * float(value) if factor == "*" else float(value)
    figures.pop(how.removesuffix("?"), None)
    lines = [f'{_NAMES[each]}{{model_name="chat"}} {of}' for each, of in figures.items()]
    lines += ['vllm:prompt_tokens_cached_total{model_name="chat"} 0', "llm_sidecar_queue_depth 0", "llm_sidecar_held 0"]
    lines += [f"llm_sidecar_process_start_time_seconds {told.process[0]}", f"process_start_time_seconds {told.process[1]}"]
    lines += [f'vllm:cache_config_info{{model_name="chat",num_gpu_blocks="{told.kv_tokens / 16:.0f}",block_size="16"}} 1']
    return "\n".join([*lines, 'llm_sidecar_config_info{deployment="chat",engine="e1"} 1', ""]).encode()
