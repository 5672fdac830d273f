"""What can go wrong between the sidecar and its engine."""


class EngineError(Exception):
    """The engine gave no usable answer."""


class EngineUnreachableError(EngineError):
    """No connection to the engine: it is starting, or it is gone."""


class EngineBrokenError(EngineError):
    """The connection ended, or what came over it was not HTTP, before the answer was complete."""


class AnswerTooLargeError(EngineError):
    """A whole answer would take more memory than one request may."""
