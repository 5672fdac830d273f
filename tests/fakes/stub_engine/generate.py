"""Chat and completions, whole or streamed, with the faults that hit them."""

from contextlib import aclosing

from .answer import Text
from .call import Call, CallError, read_call
from .engine import BusyError, Engine, Job, StoppedError
from .faults import FaultBox, Faults
from .http import Exchange, dumps
from .options import Options
from .wire import Shape

_DONE = b"[DONE]"
_BROKEN_JSON = b'{"id":"broken'
_NO_EVENT = b"9\r\n<html>oh\n\r\n"


class Choice:
    """One choice on its way to the client: how much of its text is shown, and where a stop string ended it."""

    def __init__(self, text: Text, stops: tuple[str, ...]) -> None:
        self._text = text
        self._stops = tuple(stop for stop in stops if stop)
        self._held = max((len(stop) for stop in self._stops), default=1) - 1
        self._so_far = ""
        self.shown = ""
        self.made = 0
        self.stop: str | None = None

    def grow(self, made: int, *, last: bool) -> str:
        """Take tokens up to ``made`` and return what is newly shown; the start of a possible stop string waits until it is none."""
        while self.made < made and self.stop is None:
            self._so_far += self._text.token(self.made)
            self.made += 1
            found = [(self._so_far.find(stop), stop) for stop in self._stops if stop in self._so_far]
            if found:
                at, self.stop = min(found)
                self._so_far = self._so_far[:at]
        ended = last or self.stop is not None
        visible = self._so_far if ended or not self._held else self._so_far[: -self._held]
        new, self.shown = visible[len(self.shown) :], max(visible, self.shown, key=len)
        return new


class Generator:
    """Answers chat and completion requests."""

    def __init__(self, options: Options, engine: Engine, faults: FaultBox) -> None:
        self._options = options
        self._engine = engine
        self._faults = faults

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request."""
        faults = self._faults.now
        if self._faults.hits(faults.hang_rate):
            await self._engine.hang()
        if faults.error_words.encode() in exchange.request.body and self._faults.hits(faults.error_rate):
            await exchange.answer_json(
                faults.error_status, _error(faults.error_status, "EngineCore encountered an issue. See stack trace.")
            )
            return
        try:
            call = read_call(exchange.request.path, exchange.request.body, self._options)
            self._engine.admit()
        except CallError as error:
            await exchange.answer_json(error.status, error.body)
        except BusyError:
            await exchange.answer_json(503, _error(503, "The engine is currently busy. Please retry later."))
        except StoppedError:
            await exchange.answer_json(500, _error(500, "cannot schedule new futures after shutdown"))
        else:
            await self._answer_call(exchange, call, faults)

    async def _answer_call(self, exchange: Exchange, call: Call, faults: Faults) -> None:
        if faults.garbage:
            await _garble(exchange, call, faults.garbage)
            return
        job = Job(call.prompt_tokens, call.max_tokens, call.natural_end, call.choices, faults.latency_s, faults.slowdown)
        abort_at = faults.abort_after_tokens if self._faults.hits(faults.abort_rate) else None
        request_id = exchange.request.headers.get("x-request-id", "")
        headers = {"x-request-id": request_id} if request_id and self._options.request_id_headers else {}
        run = Run(exchange, call, job, Shape(call, headers.get("x-request-id", "")), abort_at, faults.abort_how)
        if call.stream:
            await run.stream(self._engine, headers)
        else:
            await run.whole(self._engine, headers)


class Run:
    """One call from its first token to its last byte."""

    def __init__(self, exchange: Exchange, call: Call, job: Job, shape: Shape, abort_at: int | None, abort_how: str) -> None:
        self._exchange = exchange
        self._call = call
        self._job = job
        self._shape = shape
        self._abort_at = abort_at
        self._abort_how = abort_how
        self._broken = ""
        self._choices = [Choice(text, call.stops) for text in call.texts()]

    async def whole(self, engine: Engine, headers: dict[str, str]) -> None:
        """Answer in one piece."""
        async with aclosing(engine.run(self._job)) as steps:
            async for made in steps:
                for choice in self._choices:
                    choice.grow(made, last=False)
                if self._aborts() or self._all_stopped():
                    break
        if self._broken == "cut":
            self._exchange.cut()
        elif self._broken == "error":
            await self._exchange.answer_json(500, _error(500, "EngineCore encountered an issue. See stack trace."))
        else:
            for choice in self._choices:
                choice.grow(choice.made, last=True)
            finishes = [self._finish(choice) for choice in self._choices]
            texts = [choice.shown for choice in self._choices]
            made_each = [choice.made for choice in self._choices]
            body = self._shape.whole(texts, finishes, [choice.stop for choice in self._choices], made_each)
            await self._exchange.answer_json(200, body, headers=headers)

    async def stream(self, engine: Engine, headers: dict[str, str]) -> None:
        """Answer as server-sent events."""
        await self._exchange.start_stream(headers)
        opened = not self._call.chat
        async with aclosing(engine.run(self._job)) as steps:
            async for made in steps:
                if not opened:
                    opened = True
                    for index in range(self._call.choices):
                        await self._event(self._shape.opening(index))
                aborts = self._aborts()
                if self._broken:
                    break
                last = aborts or made == self._job.max_tokens
                await self._pieces(made, last=last)
                if last or self._all_stopped():
                    break
        await self._end()

    async def _pieces(self, made: int, *, last: bool) -> None:
        for index, choice in enumerate(self._choices):
            if choice.stop is None:
                text = choice.grow(made, last=last)
                finish = self._finish(choice) if last or choice.stop is not None else None
                await self._event(self._shape.piece(index, text, choice.made, finish, choice.stop))

    async def _end(self) -> None:
        if self._broken == "cut":
            self._exchange.cut()
            return
        if self._broken == "error":
            await self._event(_error(500, "EngineCore encountered an issue. See stack trace."))
        else:
            if self._job.finish == "abort":
                for index, choice in enumerate(self._choices):
                    await self._event(self._shape.piece(index, choice.grow(choice.made, last=True), choice.made, "abort", None))
            if self._call.usage:
                await self._event(self._shape.last(sum(choice.made for choice in self._choices)))
        await self._exchange.event(_DONE)
        await self._exchange.end_stream()

    async def _event(self, body: object) -> None:
        await self._exchange.event(dumps(body))

    def _aborts(self) -> bool:
        if self._abort_at is None or self._job.made < self._abort_at:
            return False
        self._job.finish = "error" if self._abort_how == "error" else "abort"
        self._broken = self._abort_how if self._abort_how != "finish" else ""
        return True

    def _all_stopped(self) -> bool:
        stopped = all(choice.stop is not None for choice in self._choices)
        if stopped:
            self._job.finish = "stop"
        return stopped

    def _finish(self, choice: Choice) -> str:
        return "stop" if choice.stop is not None else self._job.finish or self._job.natural_end


async def _garble(exchange: Exchange, call: Call, how: str) -> None:
    if how == "http":
        await exchange.send_raw(b"\x16\x03 this is not HTTP\r\n\r\n")
        exchange.cut()
    elif not call.stream:
        await exchange.answer(
            200, _BROKEN_JSON if how == "json" else b"<html>oh</html>", kind="application/json" if how == "json" else "text/html"
        )
    else:
        await exchange.start_stream()
        if how == "json":
            await exchange.event(_BROKEN_JSON)
            await exchange.event(_DONE)
        else:
            await exchange.send_raw(_NO_EVENT)
        await exchange.end_stream()


def _error(status: int, message: str) -> dict[str, object]:
    kind = "InternalServerError" if status == 500 else "ServiceUnavailableError" if status == 503 else "BadRequestError"
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}
