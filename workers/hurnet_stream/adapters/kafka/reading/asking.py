"""Questions to the brokers on a thread of their own, so that no worker's step ever waits for an answer.

The consumer's own connection would not do: while a fetch waits there for records, the broker answers nothing
else that comes after it on the same connection.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from kafka.admin import KafkaAdminClient

from hurnet_stream.adapters.kafka.client.connection import connect
from hurnet_stream.settings.settings import KafkaSettings

_log = logging.getLogger(__name__)

INTERVAL_S = 0.25
"""The least time between two questions."""
RETRY_S = 1.0
"""The pause after a question that failed."""

Question = Callable[[Any], None]
"""Asks by an admin client, and keeps what it learns itself. It may raise: then it is not asked again."""


class Asker:
    """Asks one question after the other, over one connection. The thread begins with the first question."""

    def __init__(self, settings: KafkaSettings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._wanted: dict[str, Question] = {}  # by what they are about, the oldest first
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def ask(self, about: str, question: Question) -> None:
        """Have `question` asked soon, in place of one about the same that still waits. Never waits itself."""
        with self._changed:
            self._wanted[about] = question
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Waits for a second at most: the thread is a daemon, and ends after the request it is in."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(1.0)

    def _run(self) -> None:
        admin: Any = None
        while following := self._next():
            about, question = following
            try:
                admin = admin or connect(KafkaAdminClient, self._settings)
                question(admin)
                self._closing.wait(INTERVAL_S)
            except Exception as error:
                # The thread must go on. If something stays unknown for long, readiness or a metric says so.
                _log.debug("no answer about %s: %s", about, error)
                _close(admin)
                admin = None
                self._closing.wait(RETRY_S)
        _close(admin)

    def _next(self) -> tuple[str, Question] | None:
        """Waits for a question; None once closing."""
        with self._changed:
            while not self._wanted and not self._closing.is_set():
                self._changed.wait()
            if self._closing.is_set():
                return None
            about = next(iter(self._wanted))
            return about, self._wanted.pop(about)


def _close(admin: Any) -> None:
    if admin is not None:
        admin.close()
