"""The settings that topics are created with, and what is said if one of them is otherwise."""

from __future__ import annotations

import pytest
from kafka.admin import ConfigResource, KafkaAdminClient

from hurnet_stream.adapters.kafka.admin.check import configs_of, ensure_topics, topic_warnings
from hurnet_stream.adapters.kafka.admin.configs import DAY_MS, differences, topic_settings
from hurnet_stream.operations.copies import copies, topics_with_copies
from hurnet_stream.settings.settings import KafkaSettings, Settings
from hurnet_stream.settings.topics import TopicSettings


def named(bootstrap: str, unique: str) -> KafkaSettings:
    names = {name: f"{unique}-{name}" for name in ("texts", "queries", "answers", "feedback", "dead_letters")}
    return KafkaSettings(bootstrap=bootstrap, partitions=2, **names)


def test_topics_are_created_with_stated_retention_and_clean_elections(
    kafka_bootstrap: str, unique: str
) -> None:
    settings = named(kafka_bootstrap, unique)
    ensure_topics(settings, create=True)
    names = [settings.texts, settings.queries, settings.answers, settings.feedback, settings.dead_letters]
    names.append(settings.canary_answers)
    with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
        found = admin.describe_configs([ConfigResource("topic", n) for n in names], config_filter="all")[
            "topic"
        ]
    values = {
        name: {setting: str(entry["value"]) for setting, entry in found[name].items()} for name in names
    }
    retention = [values[name]["retention.ms"] for name in names]
    assert retention == ["-1", str(DAY_MS), str(DAY_MS), str(7 * DAY_MS), str(7 * DAY_MS), "3600000"]
    assert values[settings.texts]["retention.bytes"] == "-1"
    for name in names:
        assert values[name]["cleanup.policy"] == "delete"
        assert values[name]["min.insync.replicas"] == "1"  # of one replica
        assert values[name]["unclean.leader.election.enable"] == "false"
    assert topic_warnings(settings, names) == []
    partitions = {finding.name: finding.partitions for finding in ensure_topics(settings)}
    alone = settings.feedback, settings.canary_answers
    assert partitions == {name: 1 if name in alone else 2 for name in names}


def test_what_differs_is_told_with_what_follows(kafka_bootstrap: str, unique: str) -> None:
    settings = named(kafka_bootstrap, unique)
    with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
        admin.create_topics(
            {
                settings.texts: {"num_partitions": 2, "configs": {"retention.ms": "60000"}},
                settings.answers: {"num_partitions": 2, "configs": {"retention.ms": "-1"}},
            },
            wait_for_metadata=True,
        )
    told = topic_warnings(settings, [settings.texts, settings.answers, settings.queries])
    assert "retention.ms=60000: Kafka may drop texts before ingest has read them" in told[0]
    assert "it should be -1" in told[0]
    assert "retention.ms=-1: copies of texts and questions stay for ever" in told[1]
    assert told[2:] == [f"topic {settings.queries}: missing"]


@pytest.mark.parametrize(("replication", "least"), [(1, "1"), (2, "2"), (3, "2")])
def test_acknowledged_is_on_two_brokers_where_there_are_two(replication: int, least: str) -> None:
    settings = KafkaSettings(replication=replication)
    for topic in ("texts", "queries", "answers", "feedback", "dead-letters"):
        values = {setting.name: setting.value for setting in topic_settings(settings, topic)}
        assert values["min.insync.replicas"] == least
        assert list(differences(settings, topic, values)) == []
        assert list(differences(settings, topic, {})) == []  # nothing is known without the right to ask


@pytest.mark.parametrize(
    ("topic", "setting", "value", "is_told"),
    [
        ("texts", "retention.ms", "86400000", False),
        ("texts", "retention.ms", "3599999", True),
        ("texts", "retention.bytes", "1000000000", False),
        ("texts", "retention.bytes", "1000000", True),
        ("texts", "message.timestamp.after.max.ms", "9223372036854775807", True),
        ("texts", "message.timestamp.after.max.ms", "60000", False),
        ("texts", "cleanup.policy", "compact", True),
        ("texts", "cleanup.policy", "compact,delete", True),
        ("texts", "min.insync.replicas", "1", True),
        ("texts", "min.insync.replicas", "3", False),
        ("texts", "unclean.leader.election.enable", "true", True),
        ("queries", "retention.ms", "3600000", False),
        ("queries", "retention.ms", "-1", True),
        ("answers", "cleanup.policy", "compact,delete", False),
        ("feedback", "cleanup.policy", "compact", True),
        ("feedback", "retention.ms", "-1", True),
        ("dead-letters", "retention.ms", "-1", True),
        ("dead-letters", "unclean.leader.election.enable", "true", True),
    ],
)
def test_each_setting_is_told_if_it_is_wrong(topic: str, setting: str, value: str, is_told: bool) -> None:
    told = list(differences(KafkaSettings(replication=3), topic, {setting: value}))
    assert bool(told) == is_told
    assert all(setting in line for line in told)


def test_what_forget_lists_is_what_the_broker_has_in_force(kafka_bootstrap: str, unique: str) -> None:
    kafka = named(kafka_bootstrap, unique)
    ensure_topics(kafka, create=True)
    settings = Settings(kafka=kafka, topics={f"{unique}-none": TopicSettings()})
    names = [topic for topic, _ in topics_with_copies(settings)]
    configs = configs_of(kafka, names)
    assert configs[f"{unique}-none"] is None
    now_ms = 1_800_000_000_000
    found = {each.topic: each for each in copies(settings, configs, now_ms)}
    assert set(found) == {*names} - {f"{unique}-none"}
    assert found[kafka.texts].gone_by_ms is None
    assert "for ever" in found[kafka.texts].why
    answers_gone_by = found[kafka.answers].gone_by_ms
    assert answers_gone_by is not None
    # A day of retention, and a week that a segment takes records by the broker's default.
    assert 8 * DAY_MS < answers_gone_by - now_ms < 9 * DAY_MS
