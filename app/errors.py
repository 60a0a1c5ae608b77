"""The errors a person may meet, each with its sentence. How they become HTML and JSON stands at the end of the request.

AppError
├── Malformed                400   what was sent cannot be read
├── NotFound                 404   no such thing, or not yours: the same answer
├── NotSignedIn              401
├── Forbidden                403   a member asks for what only the owner may do
├── Invalid                  422   a field's value cannot be accepted; `field` says which
├── TooMuch                  413   larger than a limit; says the limit
├── Conflict                 409   the thing changed meanwhile, or is busy
├── TooManyRequests          429   `retry_after_seconds`
├── Unavailable              503   a part of ours (the database, the disk) is away for now
└── ContextOverflow          422   the branch does not fit the model's context window
"""

from typing import ClassVar


class AppError(Exception):
    """An error with a plain sentence for the person. Subclasses name what went wrong."""

    status_code: ClassVar[int] = 500
    code: ClassVar[str] = "internal"

    def __init__(self, sentence: str, *, field: str | None = None, retry_after_seconds: float | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.field = field
        self.retry_after_seconds = retry_after_seconds


class Malformed(AppError):
    status_code = 400
    code = "malformed"


class NotFound(AppError):
    status_code = 404
    code = "not_found"


class NotSignedIn(AppError):
    status_code = 401
    code = "not_signed_in"


class Forbidden(AppError):
    status_code = 403
    code = "forbidden"


class Invalid(AppError):
    status_code = 422
    code = "invalid"


class TooMuch(AppError):
    status_code = 413
    code = "too_much"


class Conflict(AppError):
    status_code = 409
    code = "conflict"


class TooManyRequests(AppError):
    status_code = 429
    code = "too_many_requests"


class Unavailable(AppError):
    status_code = 503
    code = "unavailable"


class ContextOverflow(AppError):
    status_code = 422
    code = "context_overflow"
