"""How the body of a request comes that is not for the own engine yet: while nobody can be reached, only where it has room to wait."""

from llm_sidecar.bodies import Bodies
from llm_sidecar.hop.hold import Hold
from llm_sidecar.http.call import BODY_TIMEOUT_S, body_too_slow, check_head
from llm_sidecar.http.exchange import Exchange
from llm_sidecar.http.routes import Route


async def receive(exchange: Exchange, hold: Hold, bodies: Bodies, route: Route, limit: int) -> None:
    """Check and read a request, or raise Refusal. Many bodies at once must not take more memory than those that wait may."""
    check_head(exchange, route, limit)
    if hold.counts:
        exchange.booked = hold.book(_expected(exchange, hold, limit))
    else:
        exchange.reserve(bodies)
    exchange.limit(BODY_TIMEOUT_S, body_too_slow)
    await exchange.receive(limit)
    if exchange.booked:
        exchange.booked = hold.shrink(exchange.booked, len(exchange.body(limit)))


def _expected(exchange: Exchange, hold: Hold, limit: int) -> int:
    """Return how large a body will be, at most: what does not say so may be as large as the limit, unless it is here."""
    if exchange.content_length is not None:
        return exchange.content_length
    return len(exchange.body(limit)) if exchange.arrived else min(limit, hold.most_bytes)
