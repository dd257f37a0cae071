"""Whether topics exist and take messages, as of a few seconds ago."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import errors as kafka_errors

from hurnet_stream.adapters.kafka.admin.describing import HIDDEN, UNSEEN, describe_configs
from hurnet_stream.adapters.kafka.admin.kept import KeptAdmin
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.settings.settings import KafkaSettings

_FRESH_S = 5.0
"""How long an answer about a topic is believed."""
_REMEMBERED = 10_000
"""The most topics whose answers are remembered: clients name the reply topics, and may name any number."""


@dataclass(frozen=True, slots=True)
class _Seen:
    at: float
    exists: bool
    problem: str | None


class TopicLookup:
    """Asks over an admin connection, which is opened at the first question. Never creates a topic."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._admin = KeptAdmin(settings)
        self._known: dict[str, _Seen] = {}

    def has(self, topic: str) -> bool:
        """Whether it exists and we may see it."""
        return self._look(topic).exists

    def problem(self, topic: str) -> str | None:
        """Why it takes no messages now, if that can be seen. A transaction with such a topic could be neither
        committed nor aborted."""
        return self._look(topic).problem

    def require(self, topics: Iterable[str]) -> None:
        """Raises `ConfigurationError` with the names of the topics that do not exist, or are hidden from
        us."""
        unseen = {topic: self.problem(topic) for topic in sorted(topics) if not self.has(topic)}
        if hidden := [topic for topic, problem in unseen.items() if problem == HIDDEN]:
            raise ConfigurationError(f"topic {', '.join(hidden)}: {HIDDEN}")
        if unseen:
            raise ConfigurationError(
                f"no such topic: {', '.join(unseen)} (`hurnet topics --create` makes them)"
            )

    def config(self, topic: str) -> Mapping[str, str]:
        """The settings in force of a topic that exists."""
        with self._admin.asking(f"looking up the configuration of {topic}") as admin:
            return describe_configs(admin, [topic])[topic]

    def clear(self) -> None:
        """Believe nothing that was seen before: something has failed since."""
        self._known.clear()

    def close(self) -> None:
        self._admin.close()

    def _look(self, topic: str) -> _Seen:
        now = time.monotonic()
        known = self._known.get(topic)
        if known is None or now - known.at >= _FRESH_S:
            if len(self._known) >= _REMEMBERED:  # after 10,000 topics, all are asked about again
                self._known.clear()
            known = self._known[topic] = _Seen(now, *self._ask(topic))
        return known

    def _ask(self, topic: str) -> tuple[bool, str | None]:
        """(whether it exists, why it takes no messages)"""
        with self._admin.asking(f"looking up {topic}") as admin:
            (described,) = admin.describe_topics([topic])
            error = kafka_errors.for_code(described["error_code"])
            if error in UNSEEN:
                return False, UNSEEN[error]
            if error is not kafka_errors.NoError:
                return True, error.__name__  # a problem of this topic only: the brokers answer
            return True, _unwritable(admin, topic, described["partitions"])


def _unwritable(admin: Any, topic: str, partitions: list[Any]) -> str | None:
    """Why a partition can't acknowledge, if one can't."""
    if any(p["leader_id"] < 0 for p in partitions):
        return "a partition has no leader"
    if all(len(p["isr_nodes"]) >= len(p["replica_nodes"]) for p in partitions):
        return None  # the usual case, without a second question
    least = int(describe_configs(admin, [topic])[topic].get("min.insync.replicas", 1))
    for p in partitions:
        in_sync, needed = len(p["isr_nodes"]), min(least, len(p["replica_nodes"]))
        if in_sync < needed:
            return f"{in_sync} replicas are in sync, and it needs {needed}"
    return None
