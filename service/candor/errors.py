"""Every error that candor raises on purpose.

CandorError
├── InvalidArgument          the request is wrong, whatever the state of the server
│   ├── InvalidInput         a tensor, an image, a text: shape, dtype, NaN, undecodable
│   ├── InvalidOption        unknown, of the wrong type or out of range
│   └── InvalidTarget        no such class, ambiguous label
├── NotFound                 no such model, version or layer
├── Unsupported              the model cannot be explained this way; the reason is the message
│   └── UnsupportedOperator  an operator on the way has no derivative rule
├── InvalidModel             the ONNX file or its manifest is broken
├── TooLarge                 over a limit that protects the server
├── Overloaded               refused at once; try again after `retry_after_s`
├── DeadlineExceeded         the caller's time ran out
├── Cancelled                the caller went away
├── Unavailable              the server is starting or draining
├── Unauthenticated          the server asks for a key, and this call has none of its keys
├── PermissionDenied         the key is known, and may not do this
└── InternalError            a defect of candor's own

Errors know nothing of gRPC or HTTP: `wire.status` maps each kind to both, once. A message says what
was wrong, which value it was, and what would be right; it is written to be read by the caller.
"""

from typing import ClassVar

__all__ = [
    "Cancelled",
    "CandorError",
    "DeadlineExceeded",
    "InternalError",
    "InvalidArgument",
    "InvalidInput",
    "InvalidModel",
    "InvalidOption",
    "InvalidTarget",
    "NotFound",
    "Overloaded",
    "PermissionDenied",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "UnknownCompression",
    "Unsupported",
    "UnsupportedOperator",
]


class CandorError(Exception):
    """The root; `kind` is stable and names the row of the status table."""

    kind: ClassVar[str] = "internal"

    @property
    def message(self) -> str:
        """The sentence meant for the caller."""
        return str(self)


class InvalidArgument(CandorError):
    """The request is wrong and will be wrong again."""

    kind = "invalid_argument"


class InvalidInput(InvalidArgument):
    """A tensor, an image or a text that the model cannot take."""


class InvalidOption(InvalidArgument):
    """An option that does not exist, or a value that it does not take."""


class InvalidTarget(InvalidArgument):
    """A class that the model does not have."""


class NotFound(CandorError):
    """No such model, version or layer."""

    kind = "not_found"


class Unsupported(CandorError):
    """What was asked cannot be had for this model; the message gives the reason."""

    kind = "unsupported"


class UnsupportedOperator(Unsupported):
    """A node between the score and the value to be explained has no derivative rule."""

    def __init__(self, operator: str, node: str, reason: str) -> None:
        super().__init__(f"operator {operator} (node '{node}') cannot be differentiated: {reason}")
        self.operator = operator
        self.node = node
        self.reason = reason


class UnknownCompression(CandorError):
    """A body or message is compressed in a way that candor does not know."""

    kind = "unknown_compression"


class InvalidModel(CandorError):
    """An ONNX file or manifest that cannot be served."""

    kind = "invalid_model"


class TooLarge(CandorError):
    """Over a limit that keeps the server alive; the message names the limit."""

    kind = "too_large"


class Overloaded(CandorError):
    """Refused because a queue is full, or a key's limit is reached."""

    kind = "overloaded"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(CandorError):
    """The deadline passed before the work was done."""

    kind = "deadline_exceeded"


class Cancelled(CandorError):
    """Nobody waits for the answer; or a stopping server never took the call: try again."""

    kind = "cancelled"


class Unavailable(CandorError):
    """The server is starting or draining."""

    kind = "unavailable"


class Unauthenticated(CandorError):
    """The server asks for a key, and the call has none, or none that is known."""

    kind = "unauthenticated"


class PermissionDenied(CandorError):
    """The key may not do this; another might."""

    kind = "permission_denied"


class InternalError(CandorError):
    """A defect of candor's own; the caller gets a request id, the log gets the rest."""
