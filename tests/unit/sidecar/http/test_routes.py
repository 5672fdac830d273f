"""What the public port answers on which path."""

import json

from llm_sidecar.bundle import Bundle, Prompt
from tests.unit.sidecar.conftest import MakePod
from tests.unit.sidecar.support.client import ask, connect, get, post
from tests.unit.sidecar.support.engine import answers, completion, http, streams, text_events
from tests.unit.sidecar.support.pod import Pod


async def test_a_request_that_nothing_changes_reaches_the_engine_byte_for_byte(pod: Pod) -> None:
    body = b'{ "model":"chat",\t"prompt": "caf\\u00e9 \xc3\xa9", "max_tokens" : 5, "future_field": [1, {"x": null}] }'
    answer = await pod.post("/v1/completions", body)
    assert answer.status == 200
    assert answer.body == completion()
    assert pod.engine.requests[-1].body == body


async def test_each_route_goes_to_its_path_at_the_engine(pod: Pod) -> None:
    for path, body, upstream in [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}, "/v1/chat/completions"),
        ("/v1/completions", {"prompt": "hi"}, "/v1/completions"),
        ("/generate", {"prompt": "hi"}, "/v1/completions"),
    ]:
        assert (await pod.post(path, body)).status == 200
        assert (pod.engine.requests[-1].method, pod.engine.requests[-1].target) == ("POST", upstream)


async def test_models_come_from_the_engine(pod: Pod) -> None:
    answer = await pod.get("/v1/models")
    assert (answer.status, answer.json["data"][0]["id"]) == (200, "chat")


async def test_health_is_200_and_empty(pod: Pod) -> None:
    answer = await pod.get("/health")
    assert (answer.status, answer.body) == (200, b"")


async def test_other_paths_are_not_found_and_never_reach_the_engine(pod: Pod) -> None:
    targets = [
        "/",
        "/metrics",
        "/invocations",
        "/tokenize",
        "/v1/load_lora_adapter",
        "/v1/completions/",
        "/v1//completions",
        "/v1/./completions",
        "/x/../v1/completions",
        "/v1/completions/../../invocations",
        "/V1/completions",
        "/v1/completions%20",
        "/v1%2fcompletions",
        "/%76%31/completions",
        "/v1/completions%00",
        "/v1/completions;x=1",
        "/v1/chat/completions/batch",
    ]
    for target in targets:
        for method in ("GET", "POST"):
            answer = await ask(pod.port, post(target, {"prompt": "x"}).replace(b"POST", method.encode(), 1))
            assert answer.status == 404, target
            assert answer.error["code"] == "not_found"
    assert not pod.engine.requests


async def test_a_target_that_is_no_plain_path_is_refused(pod: Pod) -> None:
    for target in ("http://engine/invocations", "http://engine/v1/completions", "//engine/v1/completions", "*", "engine:8000"):
        answer = await ask(pod.port, post(target, {"prompt": "x"}))
        assert answer.status == 400, target
        assert answer.error["code"] in {"invalid_target", "invalid_http"}
    assert not pod.engine.requests


async def test_a_query_does_not_travel_on(pod: Pod) -> None:
    assert (await pod.post("/v1/completions?x=/invocations", {"prompt": "x"})).status == 200
    assert pod.engine.requests[-1].target == "/v1/completions"


async def test_the_wrong_method_is_refused_and_the_right_one_named(pod: Pod) -> None:
    for method, path in [("GET", "/v1/completions"), ("PUT", "/generate"), ("DELETE", "/v1/models"), ("OPTIONS", "/v1/completions")]:
        answer = await ask(pod.port, f"{method} {path} HTTP/1.1\r\nhost: x\r\nx-http-method-override: POST\r\n\r\n".encode())
        assert answer.status == 405
        assert answer.headers["allow"] in {"GET", "POST"}
        assert answer.error["code"] == "method_not_allowed"


async def test_every_answer_names_its_revision_and_request(pod: Pod) -> None:
    for raw in (post("/v1/completions", {"prompt": "x"}), get("/v1/models"), get("/health"), get("/nowhere"), post("/generate", b"{")):
        answer = await ask(pod.port, raw)
        assert answer.headers["x-llm-revision"] == "r1"
        assert len(answer.headers["x-request-id"]) == 32


async def test_a_request_id_is_echoed_and_made_unique_for_the_engine(pod: Pod) -> None:
    answer = await pod.post("/v1/completions", {"prompt": "x"}, "x-request-id: my-req.1")
    assert answer.headers["x-request-id"] == "my-req.1"
    assert pod.engine.requests[-1].headers["x-request-id"].startswith("my-req.1-")


async def test_a_request_id_that_is_no_id_is_replaced(pod: Pod) -> None:
    answer = await pod.post("/v1/completions", {"prompt": "x"}, "x-request-id: bad id\t<script>")
    assert len(answer.headers["x-request-id"]) == 32


async def test_only_headers_that_are_meant_for_the_engine_reach_it(pod: Pod) -> None:
    await pod.post(
        "/v1/completions", {"prompt": "x"}, "authorization: Bearer s", "cookie: a=b", "x-llm-pod-token: t", "traceparent: 00-a-b-01"
    )
    assert set(pod.engine.requests[-1].headers) == {"host", "content-type", "content-length", "x-request-id", "traceparent"}


async def test_connections_are_kept_alive_on_both_sides(pod: Pod) -> None:
    async with connect(pod.port) as client:
        for _ in range(3):
            client.send(post("/v1/completions", {"prompt": "x"}))
            assert (await client.answer()).status == 200
    assert len({request.connection for request in pod.engine.requests}) == 1


async def test_pipelined_requests_are_answered_in_order(pod: Pod) -> None:
    async with connect(pod.port) as client:
        client.send(get("/nowhere") + get("/health") + post("/v1/completions", {"prompt": "x"}))
        assert [(await client.answer()).status for _ in range(3)] == [404, 200, 200]


async def test_streams_carry_the_usage_their_client_asked_for(pod: Pod) -> None:
    pod.engine.script = streams(*text_events("a", "b"))
    for options, at_end, always in [
        (None, False, False),
        ({"include_usage": True}, True, False),
        ({"include_usage": True, "continuous_usage_stats": True}, True, True),
    ]:
        answer = await pod.post("/v1/completions", {"prompt": "x", "stream": True, "stream_options": options})
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.body == b"".join(text_events("a", "b", at_end=at_end, always=always))


async def test_the_prompt_of_the_revision_goes_in_front(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(prompt=Prompt(system="Be brief.")))
    await pod.post(
        "/v1/chat/completions", {"model": "chat", "messages": [{"role": "system", "content": "mine"}, {"role": "user", "content": "hi"}]}
    )
    assert pod.engine.requests[-1].json["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "mine"},
        {"role": "user", "content": "hi"},
    ]


async def test_classic_generate_answers_with_prompt_and_completion(pod: Pod) -> None:
    pod.engine.script = answers(http(completion(" world")))
    answer = await pod.post("/generate", {"prompt": "hello", "max_tokens": 100, "temperature": 0.7, "top_p": 0.9, "stop": ["\n"]})
    assert answer.body == b'{"text": ["hello world"]}'
    sent = pod.engine.requests[-1].json
    assert sent["model"] == "chat"
    assert (sent["prompt"], sent["max_tokens"], sent["temperature"], sent["stop"]) == ("hello", 100, 0.7, ["\n"])


async def test_classic_generate_streams_the_whole_text_on_every_line(pod: Pod) -> None:
    pod.engine.script = streams(*text_events(" a", "é"))
    answer = await pod.post("/generate", {"prompt": "p", "stream": True})
    assert answer.body == b'{"text": ["p a"]}\n{"text": ["p a\\u00e9"]}\n'


async def test_classic_generate_takes_any_content_type_as_it_always_did(pod: Pod) -> None:
    body = json.dumps({"prompt": "x"}).encode()
    assert (await pod.post("/generate", body, "content-type: application/x-www-form-urlencoded")).status == 200
