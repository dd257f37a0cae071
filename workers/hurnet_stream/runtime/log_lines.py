"""What becomes of a log event before it is written: each function here is one step on its way to a line.

    log.error("append refused", error=error)
    ─▶ named worker, level, time    ─▶ exceptions as text, private ones without their messages
    ─▶ values cleaned of secrets    ─▶ one line, as JSON for machines or for people to read

No line holds the values of variables, which may be passwords or texts of users. No line holds a secret of the
settings, or a character that a terminal would obey.
"""

from __future__ import annotations

import logging
import math
import sys
from functools import partial
from typing import TYPE_CHECKING, Literal, cast

import structlog
from structlog.processors import JSONRenderer
from structlog.tracebacks import ExceptionDictTransformer

from hurnet_stream.settings.redaction import redacted
from hurnet_stream.visible import escaped_json, visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, Processor, WrappedLogger

OURS = ("hurnet_stream", "hurnet_schemas")
"""Names that our loggers begin with; all others are libraries'."""
MOST_CHARACTERS = 8_192
"""Longest string in a line. An exception of a client may quote the whole of what it was given."""
_FRAMES_MAX = 50
_CAUSES_MAX = 10


def first_steps(worker: str | None) -> list[Processor]:
    """For every event, ours or a library's: who says it, how important it is, and when."""

    def named(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if worker is not None:
            event["worker"] = worker
        return event

    return [
        structlog.contextvars.merge_contextvars,
        named,
        structlog.stdlib.add_log_level,
        _library,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def last_steps(style: Literal["json", "console"], discreet: bool = False) -> list[Processor]:
    """From an event to its line. `discreet`: all exceptions are private."""
    hide = partial(_discreet, of_all=discreet)
    if style == "json":
        as_fields = ExceptionDictTransformer(show_locals=False, max_frames=_FRAMES_MAX)
        return [hide, structlog.processors.ExceptionRenderer(as_fields), _cleaned, _json]
    for_people = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return [hide, structlog.processors.format_exc_info, _cleaned, _on_one_line, for_people]


def _library(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Names the library that a line comes from, and how many like it were left out (tamed.py)."""
    record = event.get("_record")
    if isinstance(record, logging.LogRecord) and record.name.partition(".")[0] not in OURS:
        event["logger"] = record.name
        if left_out := getattr(record, "left_out", 0):
            event["left_out"] = left_out
    return event


def _discreet(_logger: WrappedLogger, _method: str, event: EventDict, of_all: bool = False) -> EventDict:
    """With `private=True` an exception is shown by its kind and place, without its message. The message may
    quote a text of a user, which has no place in a log above debug."""
    if (event.pop("private", False) or of_all) and event.get("exc_info"):
        info = event["exc_info"]
        error = info[1] if isinstance(info, tuple) else sys.exc_info()[1]
        if error is not None:
            silent = _silent(error, _CAUSES_MAX)
            event["exc_info"] = (type(silent), silent, silent.__traceback__)
    return event


def _silent(error: BaseException, causes_max: int) -> BaseException:
    """An exception with the same name, traceback and causes that says nothing."""
    kind: type[Exception] = type(type(error).__name__, (Exception,), {"__module__": type(error).__module__})
    silent = kind("(its message is left out: it may quote a text)").with_traceback(error.__traceback__)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and causes_max:
        silent.__cause__ = _silent(cause, causes_max - 1)
    return silent


def _cleaned(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return cast("EventDict", _clean(dict(event)))


def _clean(value: object) -> object:
    """The same as plain JSON values, without secrets and of bounded size."""
    if isinstance(value, dict):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item) for item in value]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = redacted(str(value))
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}… ({len(text):,} characters)"


def _on_one_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Each string on one line, without characters that a terminal obeys. A traceback keeps its own lines."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = visible(value, keep="\n" if key == "exception" else "")
    return event


_render = cast("Callable[[WrappedLogger, str, EventDict], str]", JSONRenderer(ensure_ascii=False))


def _json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return escaped_json(_render(logger, method, event))
