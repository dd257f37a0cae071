"""Checking our topics, and creating those that are missing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient

from hurnet_stream.adapters.kafka.admin.configs import created_with, differences, partitions_of
from hurnet_stream.adapters.kafka.admin.describing import HIDDEN, describe_configs, describe_topics
from hurnet_stream.adapters.kafka.client.connection import connect
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.core.places import PARTITIONS_MOST
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.settings.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class TopicFinding:
    """What is known of a topic after the check. `problems` are sentences for a person."""

    name: str
    exists: bool
    created: bool
    partitions: int
    problems: tuple[str, ...] = ()


def ensure_topics(
    settings: KafkaSettings, create: bool = False, others: Collection[str] = ()
) -> list[TopicFinding]:
    """Check our topics. With `create`, first create those that are missing; none is ever changed. `others`
    are topics of somebody else that are read here: only their partitions are looked at, none is created.

    Raises `KafkaFailing` if no broker answers, and `ConfigurationError` if one refuses.
    """
    names = list(dict.fromkeys(topics_of(settings)))
    with closing(connect(KafkaAdminClient, settings)) as admin, translated("checking the topics"):
        existing, _ = describe_topics(admin, names)
        missing = [name for name in names if name not in existing]  # and those that we may not see
        if create and missing:
            _create(admin, settings, missing)
        ours = _findings(admin, settings, names, created=missing if create else ())
        return ours + _findings_of_others(admin, others)


def configs_of(settings: KafkaSettings, names: Iterable[str]) -> dict[str, dict[str, str] | None]:
    """By name, the settings in force of topics: None for one that does not exist, and empty if we may not see
    them. Raises `KafkaFailing` if no broker answers."""
    wanted = list(dict.fromkeys(names))
    with closing(connect(KafkaAdminClient, settings)) as admin, translated("asking for settings of topics"):
        existing, hidden = describe_topics(admin, wanted)
        configs = describe_configs(admin, list(existing))
    return {name: configs.get(name, {} if name in hidden else None) for name in wanted}


def topics_of(settings: KafkaSettings) -> tuple[str, ...]:
    """The names of all our topics."""
    of_all = settings.texts, settings.queries, settings.answers, settings.feedback, settings.dead_letters
    return (*of_all, settings.canary_answers, *filter(None, [settings.audit]))


def topic_warnings(settings: KafkaSettings, names: Iterable[str]) -> list[str]:
    """A sentence for everything about these topics, some of ours, that is not as it should be."""
    findings = {finding.name: finding for finding in ensure_topics(settings)}
    return [f"topic {name}: {problem}" for name in names for problem in findings[name].problems]


def _create(admin: Any, settings: KafkaSettings, names: list[str]) -> None:
    topics = {
        name: {
            "num_partitions": partitions_of(settings, name),
            "replication_factor": settings.replication,
            "configs": created_with(settings, name),
        }
        for name in names
    }
    try:
        admin.create_topics(topics, timeout_ms=30_000)
    except kafka_errors.TopicAlreadyExistsError:
        pass  # someone else was quicker
    except kafka_errors.InvalidReplicationFactorError as error:
        raise ConfigurationError(
            f"HURNET_KAFKA_REPLICATION is {settings.replication}: more than there are brokers"
        ) from error
    admin.wait_for_topics(names)  # a topic that was created is not yet known to every broker


def _findings(
    admin: Any, settings: KafkaSettings, names: list[str], created: Iterable[str]
) -> list[TopicFinding]:
    described, hidden = describe_topics(admin, names)
    configs = describe_configs(admin, [name for name in names if name in described])
    findings: list[TopicFinding] = []
    for name in names:
        if name not in described:
            # What we may not see may exist: nobody should be told to create it.
            problem = HIDDEN if name in hidden else "missing"
            findings.append(TopicFinding(name, name in hidden, False, 0, (problem,)))
            continue
        partitions = described[name]["partitions"]
        problems = (*_shape_problems(name, partitions, settings), *differences(settings, name, configs[name]))
        findings.append(TopicFinding(name, True, name in created, len(partitions), problems))
    return findings


def _findings_of_others(admin: Any, names: Collection[str]) -> list[TopicFinding]:
    described, hidden = describe_topics(admin, list(names)) if names else ({}, set())
    findings: list[TopicFinding] = []
    for name in names:
        partitions = described[name]["partitions"] if name in described else []
        problems = tuple(_problems_of_other(name, name in described, name in hidden, partitions))
        findings.append(TopicFinding(name, name in described, False, len(partitions), problems))
    return findings


def _problems_of_other(name: str, there: bool, hidden: bool, partitions: list[Any]) -> Iterator[str]:
    if not there:
        missing = f"missing: whoever writes it makes it, or take [topics.{name}] out of the settings"
        yield HIDDEN if hidden else missing
    if leaderless := sorted(p["partition_index"] for p in partitions if p["leader_id"] < 0):
        yield f"no leader for partitions {', '.join(map(str, leaderless))}"
    if len(partitions) > PARTITIONS_MOST:
        yield f"{len(partitions):,} partitions: at most {PARTITIONS_MOST:,} can be read"


def _shape_problems(name: str, partitions: list[Any], settings: KafkaSettings) -> Iterable[str]:
    leaderless = sorted(p["partition_index"] for p in partitions if p["leader_id"] < 0)
    if leaderless:
        yield f"no leader for partitions {', '.join(map(str, leaderless))}"
    replicas = min((len(p["replica_nodes"]) for p in partitions), default=0)
    if replicas < settings.replication:
        yield f"{replicas} replicas, HURNET_KAFKA_REPLICATION asks for {settings.replication}"
    if len(partitions) < partitions_of(settings, name):
        yield f"{len(partitions)} partitions, HURNET_KAFKA_PARTITIONS asks for {settings.partitions}"
