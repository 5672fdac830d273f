"""What can go wrong between the sidecar and the engine, or the sidecar in front of another one."""


class EngineError(Exception):
    """The engine gave no usable answer."""


class EngineUnreachableError(EngineError):
    """No connection to the engine: it is starting, or it is gone."""


class EngineBrokenError(EngineError):
    """The connection ended, or what came over it was not HTTP, before the answer was complete."""


class EngineLostError(EngineBrokenError):
    """The connection ended after the request was sent and before one byte of an answer: the request may or may not have run."""


class AnswerTooLargeError(EngineError):
    """A whole answer would take more memory than one request may."""
