"""One request handed to the sidecar of another engine, and its answer passed on as it comes."""

from dataclasses import dataclass

import msgspec

from llm_sidecar.engine import answers
from llm_sidecar.engine.connection import Connection
from llm_sidecar.engine.errors import EngineError, EngineLostError, EngineUnreachableError
from llm_sidecar.errors import BUSY, Refusal
from llm_sidecar.hop.pool import Peer
from llm_sidecar.hop.wire import DEADLINE, LOAD, UNSERVED, hop_head, passed_on
from llm_sidecar.http.exchange import Exchange
from llm_sidecar.http.routes import Route
from llm_sidecar.stream.passing import Events, WholeLines
from llm_sidecar.stream.scanner import EventTooLargeError

_MAX_REFUSAL_BYTES = 64 * 1024
_LEAVING = frozenset({"draining", "shutting_down"})


@dataclass(eq=False, slots=True)
class Forward:
    """A request on its one hop. ``stream`` is set once a stream has begun."""

    exchange: Exchange
    route: Route
    token: bytes
    revision: str
    generation: int
    pass_busy: bool
    hand_off: bool = False
    stream: Events | WholeLines | None = None

    async def serve(self, peer: Peer) -> None:
        """Hand the request over and pass the answer on, or raise Refusal; nothing of an answer was sent if its code says so."""
        exchange = self.exchange
        body = exchange.content or b""
        content_type = (("content-type", exchange.content_type.decode("latin-1")),) if exchange.content_type else ()
        deadline = ((DEADLINE, exchange.deadline.decode()),) if exchange.deadline_at is not None else ()
        head = hop_head(
            self.route.method,
            exchange.path,
            len(body),
            token=self.token,
            revision=self.revision,
            generation=self.generation,
            request_id=exchange.request_id,
            key=exchange.key,
            unit=exchange.unit,
            hand_off=self.hand_off,
            forced=exchange.is_forced,
            headers=(*content_type, *deadline, *exchange.trace),
        )
        peer.inflight += 1
        try:
            connection = await peer.client.send(head, body)
            try:
                await self._pass_on(connection, peer)
            finally:
                peer.client.release(connection)
        except EngineUnreachableError as error:
            peer.avoid()
            raise answers.unreachable(str(error)) from error
        except EngineLostError as error:
            raise answers.lost(str(error)) from error
        except (EngineError, EventTooLargeError) as error:
            raise answers.broken(str(error)) from error
        finally:
            peer.inflight -= 1

    async def _pass_on(self, connection: Connection, peer: Peer) -> None:
        exchange, headers = self.exchange, connection.headers
        peer.hear(headers.get(LOAD, b""))
        unserved = headers.get(UNSERVED, b"").decode("latin-1")
        if unserved and not (self.pass_busy and unserved in BUSY):
            if unserved in _LEAVING:
                peer.avoid()
            raise await _refusal(connection, unserved)
        exchange.revision = headers.get(b"x-llm-revision", exchange.revision)
        content_type = headers.get(b"content-type", b"application/json")
        stream = _stream(content_type)
        if exchange.announced and stream is None:
            await exchange.answer(connection.status, await connection.body(_MAX_REFUSAL_BYTES))
            return
        length = headers.get(b"content-length")
        await exchange.begin(connection.status, content_type, int(length) if length else None, passed_on(headers))
        self.stream = stream
        last = False
        while not last:
            data = await connection.chunk()
            last = connection.drained
            if stream is not None:
                data = stream.feed(data)
                if last:
                    data += stream.finish()
            if data or last:
                await exchange.write(data, more=not last)


def _stream(content_type: bytes) -> Events | WholeLines | None:
    if content_type.startswith(b"text/event-stream"):
        return Events()
    return WholeLines() if content_type.startswith(b"application/x-ndjson") else None


async def _refusal(connection: Connection, code: str) -> Refusal:
    """Return what the other sidecar said instead of an answer."""
    body = await connection.body(_MAX_REFUSAL_BYTES)
    try:
        message = str(msgspec.json.decode(body)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        message = code
    return Refusal(connection.status, code, message, retry_after_s=1)
