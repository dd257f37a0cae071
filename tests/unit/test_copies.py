"""By when copies of what was deleted are gone from Kafka: the worst case, by the settings of each topic."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.operations.copies import (
    LATEST_MS,
    LOOKS_MS,
    Copies,
    all_gone_by,
    copies,
    gone_by,
    topics_with_copies,
)
from hurnet_stream.settings.gateway import GatewaySettings
from hurnet_stream.settings.settings import Settings
from hurnet_stream.settings.topics import TopicSettings

DAY_MS = 86_400_000
NOW_MS = 1_800_000_000_000


def config(**other: str) -> Mapping[str, str]:
    """Those of a topic of Kafka's own defaults, with a day of retention."""
    named = {name.replace("_", "."): value for name, value in other.items()}
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(DAY_MS),
        "retention.bytes": "-1",
        "segment.ms": str(7 * DAY_MS),
        "file.delete.delay.ms": "60000",
        "message.timestamp.type": "CreateTime",
        "message.timestamp.after.max.ms": "3600000",
    } | named


def test_the_worst_case_is_the_last_record_of_the_segment() -> None:
    date, why = gone_by(config(), NOW_MS)
    assert date == NOW_MS + 8 * DAY_MS + 3_600_000 + LOOKS_MS + 60_000
    assert f"retention.ms={DAY_MS}" in why


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (config(retention_ms="-1"), "for ever"),
        (config(retention_ms="-1", retention_bytes="1000"), "earlier once a partition has more than 1,000"),
        (config(cleanup_policy="compact"), "compact"),
        (config(retention_ms=str(2**63 - 1)), "practically for ever"),
        (config(message_timestamp_after_max_ms=str(2**63 - 1)), "practically for ever"),
        ({}, "DESCRIBE_CONFIGS"),
    ],
)
def test_there_is_no_date_and_the_reason_is_told(settings: Mapping[str, str], why: str) -> None:
    date, said = gone_by(settings, NOW_MS)
    assert date is None
    assert why in said


def test_a_topic_that_is_compacted_and_deleted_from_goes_by_time() -> None:
    assert gone_by(config(cleanup_policy="compact,delete"), NOW_MS) == gone_by(config(), NOW_MS)


def test_times_that_the_broker_gives_lie_not_ahead() -> None:
    by_broker, _ = gone_by(config(message_timestamp_type="LogAppendTime"), NOW_MS)
    by_producer, _ = gone_by(config(), NOW_MS)
    assert by_broker is not None
    assert by_producer == by_broker + 3_600_000


@given(st.integers(0, 10**16), st.integers(0, 10**16), st.integers(0, 10**13))
def test_no_date_is_before_the_retention_is_over(retention: int, segment: int, written: int) -> None:
    date, _ = gone_by(config(retention_ms=str(retention), segment_ms=str(segment)), written)
    assert date is None or written + retention + segment < date <= LATEST_MS


def test_all_is_gone_with_the_last_one_and_never_if_one_topic_never_forgets() -> None:
    one, two, never = (Copies("t", "", each, "") for each in (1, 2, None))
    assert all_gone_by([one, two]) == 2
    assert all_gone_by([one, never, two]) is None
    assert all_gone_by([]) is None


def test_each_topic_of_the_settings_is_looked_at_and_one_that_is_not_there_left_out() -> None:
    settings = Settings(topics={"tickets": TopicSettings()}, gateway=GatewaySettings(replies="answers-http"))
    names = [topic for topic, _ in topics_with_copies(settings)]
    kafka = settings.kafka
    ours = {kafka.texts, kafka.queries, kafka.answers, kafka.feedback, kafka.dead_letters}
    assert {*ours, kafka.canary_answers, "tickets", "answers-http"} == set(names)
    found = copies(settings, {name: config() for name in names} | {"feedback": None}, NOW_MS)
    assert {each.topic for each in found} == set(names) - {"feedback"}
