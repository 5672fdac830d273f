"""The list of models, as the own engine gives it."""

from llm_sidecar.engine import answers
from llm_sidecar.engine.client import UpstreamClient, request_head
from llm_sidecar.engine.errors import EngineError, EngineLostError, EngineUnreachableError
from llm_sidecar.errors import Refusal
from llm_sidecar.http.exchange import Exchange
from llm_sidecar.http.routes import Route

_TIMEOUT_S = 10.0
_OK = 200


def _too_late() -> Refusal:
    return Refusal(504, "engine_timeout", f"the engine did not answer within {_TIMEOUT_S:g} s")


async def serve_models(engine: UpstreamClient, exchange: Exchange, route: Route) -> None:
    """Answer with the engine's list, or raise Refusal."""
    exchange.limit(_TIMEOUT_S, _too_late)
    try:
        connection = await engine.send(request_head("GET", route.upstream, (("x-request-id", exchange.upstream_id),), 0))
        try:
            body = await connection.body()
        finally:
            engine.release(connection)
    except EngineUnreachableError as error:
        raise answers.unreachable(str(error)) from error
    except EngineLostError as error:
        raise answers.lost(str(error)) from error
    except EngineError as error:
        raise answers.broken(str(error)) from error
    status = connection.status
    if status != _OK:
        status, body = answers.normalise(status, body)
    await exchange.answer(status, body)
