"""The JSON of answers, shaped as vLLM 0.32 shapes it."""

import secrets
import time
from typing import Any

from .call import Call

VERSION = "0.32.0"


class Shape:
    """Builds every part of one answer; all share an id and a time."""

    def __init__(self, call: Call, request_id: str) -> None:
        self._call = call
        suffix = request_id or secrets.token_hex(8)
        self._id = f"chatcmpl-{suffix}" if call.chat else f"cmpl-{suffix}"
        self._created = int(time.time())
        self.fingerprint = f"vllm-{VERSION}-stub-{call.hash}"

    def whole(self, texts: list[str], finishes: list[str], stops: list[str | None], made: list[int]) -> dict[str, Any]:
        """Return a unary answer."""
        choices = [self._whole_choice(*each) for each in zip(range(len(texts)), texts, finishes, stops, strict=True)]
        body = self._base("chat.completion" if self._call.chat else "text_completion", choices) | {
            "service_tier": None,
            "system_fingerprint": self.fingerprint,
            "usage": self._usage(sum(made)) | _PROMPT_DETAILS | {"completion_tokens_details": None},
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }
        return body | ({"prompt_logprobs": None, "prompt_token_ids": None, "prompt_text": None} if self._call.chat else {})

    def opening(self, index: int) -> dict[str, Any]:
        """Return a chat stream's first chunk, which carries the role alone."""
        choice = {"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        return self._chunk([choice], 0) | {"prompt_token_ids": None, "prompt_text": None}

    def piece(self, index: int, text: str, made: int, finish: str | None, stop: str | None) -> dict[str, Any]:
        """Return a chunk with some text, perhaps none, perhaps the last."""
        ends = {"stop_reason": stop} if finish is not None or not self._call.chat else {}
        choice: dict[str, Any] = {"index": index, "logprobs": None, "finish_reason": finish, "token_ids": None} | ends
        if self._call.chat:
            choice["delta"] = {"content": text}
        else:
            choice |= {"text": text, "prompt_token_ids": None}
        return self._chunk([choice], made)

    def last(self, made: int) -> dict[str, Any]:
        """Return the chunk without choices that carries the usage."""
        body = self._base(self._chunk_object, [])
        return body | {"usage": self._usage(made) | _PROMPT_DETAILS, "system_fingerprint": self.fingerprint}

    @property
    def _chunk_object(self) -> str:
        return "chat.completion.chunk" if self._call.chat else "text_completion"

    def _chunk(self, choices: list[dict[str, Any]], made: int) -> dict[str, Any]:
        body = self._base(self._chunk_object, choices)
        if self._call.usage_on_every_chunk:
            body["usage"] = self._usage(made) | {"completion_tokens_details": None}
        return body

    def _base(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._call.model, "choices": choices}

    def _usage(self, made: int) -> dict[str, Any]:
        tokens = self._call.prompt_tokens
        return {"prompt_tokens": tokens, "total_tokens": tokens + made, "completion_tokens": made}

    def _whole_choice(self, index: int, text: str, finish: str, stop: str | None) -> dict[str, Any]:
        shared = {"index": index, "logprobs": None, "finish_reason": finish, "stop_reason": stop, "token_ids": None, "routed_experts": None}
        if self._call.chat:
            empty = {"refusal": None, "annotations": None, "audio": None, "function_call": None, "reasoning": None}
            return shared | {"message": {"role": "assistant", "content": text} | empty}
        prompts = self._call.prompts
        echoed = prompts[index * len(prompts) // self._call.choices] if self._call.echo else ""
        return shared | {"text": echoed + text, "prompt_logprobs": None, "prompt_token_ids": None}


_PROMPT_DETAILS = {"prompt_tokens_details": {"cached_tokens": 0, "created_cache_tokens": 0, "multimodal_tokens": None}}


def models(names: tuple[str, ...], root: str, max_model_len: int, created: int) -> dict[str, Any]:
    """Return the answer of /v1/models."""
    permission = {
        "object": "model_permission",
        "created": created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    rows = [
        {
            "id": name,
            "object": "model",
            "created": created,
            "owned_by": "vllm",
            "root": root,
            "parent": None,
            "max_model_len": max_model_len,
            "permission": [{"id": f"modelperm-{index:016x}"} | permission],
        }
        for index, name in enumerate(names)
    ]
    return {"object": "list", "data": rows}
