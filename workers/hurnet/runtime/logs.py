"""Logs on standard error: an event and its fields a line, as JSON for machines or for people to read.

Our modules log through `structlog.get_logger()`, adapters and libraries through the standard library. Both
end in one handler here, so that every line has the chosen format. No line holds the values of variables or a
secret of the settings, and none holds a character that a terminal would obey.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, cast

import structlog
from structlog.processors import JSONRenderer
from structlog.stdlib import ProcessorFormatter
from structlog.tracebacks import ExceptionDictTransformer
from typing_extensions import override

from hurnet.runtime.tamed import Tamed
from hurnet.settings.redaction import redacted
from hurnet.settings.settings import LogSettings
from hurnet.visible import escaped_json, visible, visible_json

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

OURS = ("hurnet", "hurnet_schemas")
MOST_CHARACTERS = 8_192
"""Of one string in a line: an exception of a client may quote the whole of what it was given."""
_FRAMES = 50
_chosen = {"format": "console"}

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def configure(settings: LogSettings, worker: str | None = None) -> None:
    """Set up logging for this process; every line names the worker, if this is one."""
    _chosen["format"] = settings.format
    level: int = getattr(logging, settings.level.upper())
    structlog.configure(
        processors=[*_shared(worker), ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: logging.getLogger(OURS[0]),
    )
    handler = _Handler()
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=_shared(worker),
            processors=[ProcessorFormatter.remove_processors_meta, *_renderers(settings.format)],
        )
    )
    handler.addFilter(Tamed(OURS))
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)


def last_words(event: str) -> bytes:
    """A line in the chosen format without any lock: for who ends the process while another thread may log."""
    if _chosen["format"] == "json":
        return f"{visible_json({'event': event, 'level': 'critical'})}\n".encode()
    return f"{visible(event)}\n".encode()


def log_what_nobody_catches() -> None:
    """An exception that ends a thread or the process, or that nothing can raise, becomes a line, too."""
    log = structlog.get_logger(__name__)

    def in_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            log.critical("an exception that nobody caught", exc_info=(kind, error, trace))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            name = args.thread.name if args.thread else None
            info = (args.exc_type, args.exc_value, args.exc_traceback)
            log.critical("an exception ended a thread", thread=name, exc_info=info)

    def unraisable(args: sys.UnraisableHookArgs) -> None:
        if args.exc_value is not None:
            info = (args.exc_type, args.exc_value, args.exc_traceback)
            log.error(args.err_msg or "an exception that nothing could raise", exc_info=info)

    sys.excepthook, threading.excepthook, sys.unraisablehook = in_process, in_thread, unraisable


def _shared(worker: str | None) -> list[Processor]:
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


def _renderers(style: str) -> list[Processor]:
    if style == "json":
        # Tracebacks without the values of variables: those hold passwords, and texts of users.
        as_fields = ExceptionDictTransformer(show_locals=False, max_frames=_FRAMES)
        return [_discreet, structlog.processors.ExceptionRenderer(as_fields), _cleaned, _json]
    plain = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return [_discreet, structlog.processors.format_exc_info, _cleaned, _shown, plain]


def _library(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Which library a line comes from, if it is none of ours, and how many like it were left out."""
    record = event.get("_record")
    if isinstance(record, logging.LogRecord) and record.name.partition(".")[0] not in OURS:
        event["logger"] = record.name
        if left_out := getattr(record, "left_out", 0):
            event["left_out"] = left_out
    return event


def _discreet(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """With `private=True` exceptions are shown by their kinds and places, without their messages: those may
    quote a text of a user, which has no place in a log above debug."""
    if event.pop("private", False) and event.get("exc_info"):
        info = event["exc_info"]
        error = info[1] if isinstance(info, tuple) else sys.exc_info()[1]
        if error is not None:
            silent = _silent(error)
            event["exc_info"] = (type(silent), silent, silent.__traceback__)
    return event


def _silent(error: BaseException, causes: int = 10) -> BaseException:
    """One of the same name, trace and causes, that says nothing."""
    kind: type[Exception] = type(type(error).__name__, (Exception,), {"__module__": type(error).__module__})
    silent = kind("(its message is left out: it may quote a text)").with_traceback(error.__traceback__)
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and causes:
        silent.__cause__ = _silent(before, causes - 1)
    return silent


def _cleaned(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return cast("EventDict", _clean(dict(event)))


def _clean(value: object) -> object:
    """The same as plain values of JSON, without secrets and of bounded size."""
    if isinstance(value, dict):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item) for item in value]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = redacted(str(value))
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}… ({len(text):,} characters)"


def _shown(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Each string on one line; a traceback keeps its own lines."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = visible(value, keep="\n" if key == "exception" else "")
    return event


_render = cast("Callable[[WrappedLogger, str, EventDict], str]", JSONRenderer(ensure_ascii=False))


def _json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return escaped_json(_render(logger, method, event))


class _Handler(logging.Handler):
    """Writes to what is standard error at that time; a line that can't be made is told in a line, too."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:
            failed = {"event": "a log line could not be written", "level": "error", "logger": record.name}
            line = visible_json(failed | {"error": type(error).__name__})
        with contextlib.suppress(OSError, ValueError):  # standard error is gone: there is nowhere to say it
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
