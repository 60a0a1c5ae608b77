"""What can go wrong with a model server: foreign failures are translated once, here at the border.

ProviderError                `sentence` for the person, `is_retryable`, `retry_after_seconds`
├── Unreachable        retry   connection lost before an answer
│   └── NotConnected   retry   no connection was made: refused, bad name, bad certificate, nothing there in time
├── TimedOut           retry   accepted but silent for too long
├── Overloaded         retry   500, 502, 503, 529
├── RateLimited        retry   429, with what `Retry-After` asked for
├── AddressRefused             an address that is never called, or a private one that the owner did not allow
├── KeyRejected                401, 403
├── WrongOrigin                the key is for another address, so it was not sent, and neither was the request
├── ModelMissing               the server does not have this model
├── PromptTooLong              the server says that the prompt does not fit its context window
├── BadRequest                 another 4xx: it refused what we sent, with its own reason (cleaned, shortened)
├── NoList                     the server has no list of models at this address
├── WrongKind                  it speaks another protocol than the one that it is connected for
├── BadAnswer                  not what the protocol says: HTML, wrong JSON, a frame over the limit, a redirect
├── NoMemory                   no room for the model there, or in our own engine none while others answer
├── SourceRefused              what was asked for cannot be pulled (`keeping`)
├── Filtered                   the provider's safety system ended it
├── GaveUp                     it ended the answer properly, for a reason of its own that is none of an answer's
├── SaidNothing                it ended the answer properly, and there is nothing in it
└── StreamCut                  the stream ended without its end marker, or was reset midway: never a complete answer
"""

from typing import ClassVar

#: The statuses of a server that has nothing at a path, or nothing of this kind. Many have no list of models.
NOTHING_THERE = (404, 405, 410, 501)


class ProviderError(Exception):
    """`sentence` names the provider's fault for the person; no key, header, path or URL with a secret stands in it."""

    code: ClassVar[str] = "provider"
    is_retryable: ClassVar[bool] = False
    status = 0
    """The status of the answer that said so; 0 where there was none, or a success."""

    meant_url = ""
    """The base URL that was probably meant, where the failure shows it: with all of its path, so not for everybody's eyes."""

    def __init__(self, sentence: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.complaint = sentence
        """The server's own words in full, as far as they are read: where amendments look for what it refused."""
        self.retry_after_seconds = retry_after_seconds


class Unreachable(ProviderError):
    code = "unreachable"
    is_retryable = True


class NotConnected(Unreachable):
    pass


class TimedOut(ProviderError):
    code = "timed_out"
    is_retryable = True


class Overloaded(ProviderError):
    code = "overloaded"
    is_retryable = True


class RateLimited(ProviderError):
    code = "rate_limited"
    is_retryable = True


class AddressRefused(ProviderError):
    code = "address_refused"


class KeyRejected(ProviderError):
    code = "key_rejected"


class WrongOrigin(ProviderError):
    code = "wrong_origin"


class ModelMissing(ProviderError):
    code = "model_missing"


class PromptTooLong(ProviderError):
    code = "prompt_too_long"


class BadRequest(ProviderError):
    code = "bad_request"


class NoList(BadRequest):
    code = "no_list"


class WrongKind(ProviderError):
    code = "wrong_kind"


class BadAnswer(ProviderError):
    code = "bad_answer"


class NoMemory(ProviderError):
    code = "no_memory"


class Filtered(ProviderError):
    code = "filtered"


class GaveUp(ProviderError):
    code = "gave_up"


class SaidNothing(ProviderError):
    code = "said_nothing"


class StreamCut(ProviderError):
    code = "stream_cut"
