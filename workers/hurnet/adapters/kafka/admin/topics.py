"""Creating, checking and looking up topics."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, KafkaAdminClient

from hurnet.adapters.kafka.admin.configs import created_with, differences
from hurnet.adapters.kafka.client.connection import connect, translated
from hurnet.errors import ConfigurationError
from hurnet.settings.settings import KafkaSettings

_FRESH_S = 5.0  # how long an answer about a topic is believed
_REMEMBERED = 10_000  # reply-to topics come from clients: the memory of them is bounded
_NOT_SEEN = (
    kafka_errors.InvalidTopicError,
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.UnknownTopicOrPartitionError,
)


@dataclass(frozen=True, slots=True)
class TopicFinding:
    """What is known of a topic after the check. `problems` are for a person to read."""

    name: str
    exists: bool
    created: bool
    partitions: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen of a topic, and when. `problem` is why it takes no messages, as far as can be seen."""

    at: float
    exists: bool
    problem: str | None


class Topics:
    """Whether topics exist, over an admin connection that is opened when first needed; never creates one."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._admin: Any = None
        self._known: dict[str, _Look] = {}

    def has(self, topic: str) -> bool:
        """Whether it exists and we may see it."""
        return self._look(topic).exists

    def problem(self, topic: str) -> str | None:
        """Why it takes no messages now, if that can be seen: a transaction with such a topic could be neither
        committed nor aborted."""
        return self._look(topic).problem

    def require(self, topics: Iterable[str]) -> None:
        """Raises `ConfigurationError` naming the topics that do not exist."""
        missing = sorted(topic for topic in topics if not self.has(topic))
        if missing:
            raise ConfigurationError(
                f"no such topic: {', '.join(missing)} (`hurnet topics --create` makes them)"
            )

    def config(self, topic: str) -> Mapping[str, str]:
        """The settings in force for a topic that exists."""
        self._admin = self._admin or connect(KafkaAdminClient, self._settings)
        with translated(f"looking up the configuration of {topic}"):
            return _configs(self._admin, [topic])[topic]

    def forget(self) -> None:
        self._known.clear()

    def close(self) -> None:
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def _look(self, topic: str) -> _Look:
        now = time.monotonic()
        known = self._known.get(topic)
        if known is None or now - known.at >= _FRESH_S:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[topic] = _Look(now, *self._ask(topic))
        return known

    def _ask(self, topic: str) -> tuple[bool, str | None]:
        """Whether it exists, and why it takes no messages."""
        with self._asking(f"looking up {topic}") as admin:
            (described,) = admin.describe_topics([topic])
            error = kafka_errors.for_code(described["error_code"])
            if error in _NOT_SEEN:
                return False, "it does not exist"
            if error is not kafka_errors.NoError:  # the topic's trouble: brokers are there, and say so
                return True, error.__name__
            return True, _unwritable(admin, topic, described["partitions"])

    def _described(self, topics: list[str]) -> dict[str, Any]:
        with self._asking(f"looking up {', '.join(topics)}") as admin:
            return _described(admin, topics)

    @contextlib.contextmanager
    def _asking(self, doing: str) -> Iterator[Any]:
        """The connection, which is given up if anything fails."""
        self._admin = self._admin or connect(KafkaAdminClient, self._settings)
        try:
            with translated(doing):
                yield self._admin
        except Exception:
            self.close()
            raise


def _unwritable(admin: Any, topic: str, partitions: list[Any]) -> str | None:
    if any(p["leader_id"] < 0 for p in partitions):
        return "a partition has no leader"
    if all(len(p["isr_nodes"]) >= len(p["replica_nodes"]) for p in partitions):
        return None
    least = int(_configs(admin, [topic])[topic].get("min.insync.replicas", 1))
    for p in partitions:
        in_sync, needed = len(p["isr_nodes"]), min(least, len(p["replica_nodes"]))
        if in_sync < needed:
            return f"{in_sync} replicas are in sync, and it needs {needed}"
    return None


def ensure_topics(settings: KafkaSettings, create: bool = False) -> list[TopicFinding]:
    """Check the four topics and, if told to, create those that are missing.

    Raises `TransientError` where no broker answers, `ConfigurationError` where one refuses.
    """
    names = list(dict.fromkeys([settings.texts, settings.queries, settings.answers, settings.dead_letters]))
    admin = connect(KafkaAdminClient, settings)
    try:
        with translated("checking the topics"):
            missing = [name for name in names if name not in _described(admin, names)]
            if create and missing:
                _create(admin, settings, missing)
            return _findings(admin, settings, names, created=missing if create else ())
    finally:
        admin.close()


def differing(settings: KafkaSettings, names: Iterable[str]) -> list[str]:
    """What is not as it should be with these of the four topics, for a warning each."""
    findings = {finding.name: finding for finding in ensure_topics(settings)}
    return [f"topic {name}: {problem}" for name in names for problem in findings[name].problems]


def _create(admin: Any, settings: KafkaSettings, names: list[str]) -> None:
    shape = {"num_partitions": settings.partitions, "replication_factor": settings.replication}
    topics = {name: {**shape, "configs": created_with(settings, name)} for name in names}
    try:
        admin.create_topics(topics, timeout_ms=30_000)
    except kafka_errors.TopicAlreadyExistsError:
        pass  # someone else was quicker
    except kafka_errors.InvalidReplicationFactorError as error:
        raise ConfigurationError(
            f"HURNET_KAFKA_REPLICATION is {settings.replication}: more than there are brokers"
        ) from error
    admin.wait_for_topics(names)


def _findings(
    admin: Any, settings: KafkaSettings, names: list[str], created: Iterable[str]
) -> list[TopicFinding]:
    described = _described(admin, names)
    configs = _configs(admin, [name for name in names if name in described])
    findings = []
    for name in names:
        if name not in described:
            findings.append(TopicFinding(name, False, False, 0, ("missing",)))
            continue
        partitions = described[name]["partitions"]
        problems = (
            *_partition_problems(partitions, settings),
            *differences(settings, name, configs[name]),
        )
        findings.append(TopicFinding(name, True, name in created, len(partitions), problems))
    return findings


def _partition_problems(partitions: list[Any], settings: KafkaSettings) -> Iterable[str]:
    leaderless = sorted(p["partition_index"] for p in partitions if p["leader_id"] < 0)
    if leaderless:
        yield f"no leader for partitions {', '.join(map(str, leaderless))}"
    replicas = min((len(p["replica_nodes"]) for p in partitions), default=0)
    if replicas < settings.replication:
        yield f"{replicas} replicas, HURNET_KAFKA_REPLICATION asks for {settings.replication}"
    if len(partitions) < settings.partitions:
        yield f"{len(partitions)} partitions, HURNET_KAFKA_PARTITIONS asks for {settings.partitions}"


def _configs(admin: Any, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    asked = [ConfigResource("topic", name) for name in names]
    topics = admin.describe_configs(asked, config_filter="all")["topic"]  # empty without the right to it
    return {name: {key: str(entry["value"]) for key, entry in topics.get(name, {}).items()} for name in names}


def _described(admin: Any, names: list[str]) -> dict[str, Any]:
    """The metadata of those that exist and that we may see."""
    found = {}
    for topic in admin.describe_topics(names):
        error = kafka_errors.for_code(topic["error_code"])
        if error is kafka_errors.NoError:
            found[topic["name"]] = topic
        elif error not in _NOT_SEEN:
            raise error(topic["name"])
    return found
