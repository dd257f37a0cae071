"""What can go wrong for a client, whichever way it reaches hurnet.

ClientError             the base of all; `problem` is what a gateway said of it, None over Kafka
├── InvalidRequest          a field is wrong, and `where` names it: nothing was sent
├── AccessRefused           no key, a wrong key, or one without this right
├── NotThere                what was named is not there, or not for this key
├── Unreachable             no server answers at the address, or what answers there is no gateway
├── Busy                    the server was overloaded until the time was up; `retry_after_s` is its advice
├── NoReply                 nobody answered in time
├── NotSent                 Kafka did not take it, or it is not known whether it did
├── NotTaught               a correction was written, and its effect was not seen in time
├── NotAllTaught            `teach_many` ended early: `taught` says after how many texts
└── Closed                  the client was closed, before or under way
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hurnet_stream.client.results import Watermarks
from hurnet_stream.errors import HurnetError


@dataclass(frozen=True, slots=True)
class Problem:
    """What a gateway says of a request that it did not fulfil (RFC 9457)."""

    status: int
    title: str
    detail: str = ""
    where: str | None = None
    """The field that is wrong, as in `questions.3.text`."""
    errors: tuple[tuple[str, str], ...] = ()
    """Each field that is wrong, and why."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """All that the gateway said."""


class ClientError(HurnetError):
    """The base of all errors of a client. Its message says what happened and what to do."""

    def __init__(self, message: str, problem: Problem | None = None) -> None:
        super().__init__(message)
        self.problem = problem


class InvalidRequest(ClientError, ValueError):
    """A field is wrong. Nothing of this call was sent, or the gateway has refused all of it.

    `where` names the field: `text`, `metadata.lang`, or `texts.17.answer` of several."""

    def __init__(self, message: str, where: str, problem: Problem | None = None) -> None:
        super().__init__(f"{where}: {message}" if where else message, problem)
        self.where = where
        self.why = message

    def within(self, place: str) -> InvalidRequest:
        """The same error of a field inside `place`."""
        return InvalidRequest(self.why, f"{place}.{self.where}".rstrip("."), self.problem)


class AccessRefused(ClientError):
    """The gateway wants a key, does not know this one, or gives it no right to this."""


class NotThere(ClientError, LookupError):
    """There is no such context, record or path; or none that this key may see."""


class Unreachable(ClientError):
    """No server answers at this address, or what answers there is not the server that is meant."""


class Busy(ClientError):
    """The server had too much to do during the whole time that the call was given."""

    def __init__(
        self, message: str, problem: Problem | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, problem)
        self.retry_after_s = retry_after_s


class NoReply(ClientError, TimeoutError):
    """Nobody answered in time."""


class NotSent(ClientError):
    """Kafka did not take a message; or the time was up before it said whether it had."""


class NotTaught(ClientError):
    """A correction was written at `feedback` (topic/partition/offset) and will be taught, but its effect was
    not seen in time."""

    def __init__(self, message: str, feedback: str) -> None:
        super().__init__(message)
        self.feedback = feedback


class NotAllTaught(ClientError):
    """Teaching many texts ended early; the cause says why.

    The first `taught` texts are written, up to `watermarks`. Of the `unsure` texts behind them some may be,
    and none of those behind these is."""

    def __init__(self, cause: ClientError, taught: int, unsure: int, watermarks: Watermarks) -> None:
        super().__init__(f"after {taught:,} texts: {cause}", cause.problem)
        self.taught = taught
        self.unsure = unsure
        self.watermarks = watermarks


class Closed(ClientError):
    """The client was closed before this call, or while it was under way."""
