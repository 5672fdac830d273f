"""What is asked and answered: 1.2 KB of chat, 1.9 KB of completion or 64 events, in vLLM's shape."""

import itertools
from dataclasses import dataclass
from typing import Any

import orjson

MODEL = "chat"
EVENTS = 64
PACE_US = 10_000
KEY = "bench-key"
STAMPED = "chatcmpl-" + "0" * 19
"""The id of an answer; in events the engine writes over its digits with the time it sends one."""

_CREATED = 1_795_737_600
_PROSE = (
    "A canary takes a small share of the traffic first, so that a version that is worse than the one before it harms few people, and is "
    "taken back before it harms more. What it is judged by has to be declared before it begins, since who looks long enough finds a figure "
    "that agrees with him. The share then grows in steps, each of them long enough to tell a difference that matters from chance. "
)
_OPENING_AND_END = 4  # the role, the reason of the end, the usage, and the end mark


def text(words: int) -> str:
    """Return so many words of plain English."""
    return " ".join(itertools.islice(itertools.cycle(_PROSE.split()), words))


@dataclass(frozen=True)
class Payload:
    """The bodies of requests, and what the engine answers."""

    answer: bytes
    events: tuple[bytes, ...]
    streamed: str
    """The text of all events together."""

    @staticmethod
    def request(**fields: Any) -> bytes:
        """Return the body of a request."""
        plain = {"model": MODEL, "messages": [{"role": "user", "content": text(190)}], "max_tokens": 256}
        return orjson.dumps(plain | fields)


def payload() -> Payload:
    """Return what one run sends and serves."""
    pieces = [("" if number == 0 else " ") + word for number, word in enumerate(text(EVENTS - _OPENING_AND_END).split())]
    opening = _chunk({"role": "assistant", "content": ""}, 0)
    content = [_chunk({"content": piece}, number + 1) for number, piece in enumerate(pieces)]
    ending = _chunk({"content": ""}, len(pieces), "stop")
    usage = {
        "id": STAMPED,
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": MODEL,
        "choices": [],
        "usage": _usage(len(pieces)),
    }
    events = (*(orjson.dumps(each) for each in (opening, *content, ending, usage)), b"[DONE]")
    return Payload(orjson.dumps(_completion()), events, "".join(pieces))


def http(body: bytes, port: int) -> bytes:
    """Return a request as a client sends it."""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\naccept: application/json\r\naccept-encoding: gzip, deflate\r\n"
        f"user-agent: bench\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _chunk(delta: dict[str, str], made: int, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, "token_ids": None}
    return {
        "id": STAMPED,
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": MODEL,
        "choices": [choice],
        "usage": _usage(made),
    }


def _completion() -> dict[str, Any]:
    message = {"role": "assistant", "content": text(270), "refusal": None, "annotations": None, "audio": None, "function_call": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop", "stop_reason": None, "token_ids": None}
    return {
        "id": STAMPED,
        "object": "chat.completion",
        "created": _CREATED,
        "model": MODEL,
        "choices": [choice],
        "service_tier": None,
        "system_fingerprint": None,
        "usage": _usage(256),
        "prompt_logprobs": None,
        "kv_transfer_params": None,
    }


def _usage(made: int) -> dict[str, int]:
    return {"prompt_tokens": 250, "total_tokens": 250 + made, "completion_tokens": made}
