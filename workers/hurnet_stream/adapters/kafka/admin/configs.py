"""The settings that our topics are created with, and what follows if one of them has another value.

A topic that exists is never changed: its settings may have been chosen for a reason. `hurnet topics`, and
each worker at its start, say what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from hurnet_stream.settings.settings import KafkaSettings

FOR_EVER = "-1"
AHEAD_MS = 3_600_000
"""How far ahead of the broker's clock a text may be dated: Kafka's own default."""
DAY_MS = 86_400_000
ANSWERED_MS = DAY_MS
"""Queries and answers repeat what people asked and what the store holds. They are kept for a day, for clients
that read late."""
PUT_ASIDE_MS = 7 * DAY_MS
"""Dead letters hold excerpts of records: a week, to look at them and send them again. Feedback is kept as
long, so that it can wait for its worker: what it teaches is in texts from then on."""
AUDITED_MS = 90 * DAY_MS
"""Who asked what: long enough for whoever finds out later that a key was stolen."""
READ_AT_ONCE_MS = 3_600_000
"""Answers to the canary, which reads them at once or never."""


@dataclass(frozen=True, slots=True)
class TopicSetting:
    """`value` is what a new topic gets, `is_right` accepts the values that are as good, and `otherwise` says
    what follows from all others."""

    name: str
    value: str
    is_right: Callable[[str], bool]
    otherwise: str


READ_MS = 3_600_000
READ_BYTES = 64 << 20
"""Texts that are kept for less than this may go while ingest is restarted."""
_LOST = "Kafka may drop texts before ingest has read them"
_OF_TEXTS = (
    # A context may live longer than the topic: what Kafka has dropped, the store and its backups still have.
    TopicSetting("retention.ms", FOR_EVER, lambda v: v == FOR_EVER or int(v) >= READ_MS, _LOST),
    TopicSetting("retention.bytes", FOR_EVER, lambda v: v == FOR_EVER or int(v) >= READ_BYTES, _LOST),
    TopicSetting(
        "message.timestamp.after.max.ms",
        str(AHEAD_MS),
        lambda v: int(v) <= DAY_MS,
        "texts dated far ahead never age, and each date takes memory of its own in the solver",
    ),
)
_OF_QUERIES = (
    TopicSetting(
        "message.timestamp.type",
        "LogAppendTime",
        lambda v: v == "LogAppendTime",
        "how old a question is depends on its asker's clock",
    ),
    TopicSetting(
        "compression.type",
        "uncompressed",
        lambda v: v == "uncompressed",
        "a packed question may be a thousand times as large as the broker can see",
    ),
)


def topic_settings(settings: KafkaSettings, topic: str) -> tuple[TopicSetting, ...]:
    """What one of our topics should be set to."""
    if topic == settings.texts:
        return (*_of_all(settings, topic), *_OF_TEXTS)
    kept_ms = _kept_ms(settings, topic)
    copies = "copies of texts and questions stay for ever, also of what was deleted since"
    bounded = TopicSetting("retention.ms", str(kept_ms), lambda v: int(v) >= 0, copies)
    special = _OF_QUERIES if topic == settings.queries else ()
    return (*_of_all(settings, topic), bounded, *special)


def _kept_ms(settings: KafkaSettings, topic: str) -> int:
    if topic == settings.canary_answers:
        return READ_AT_ONCE_MS
    if topic == settings.audit:
        return AUDITED_MS
    return PUT_ASIDE_MS if topic in (settings.dead_letters, settings.feedback) else ANSWERED_MS


def _of_all(settings: KafkaSettings, topic: str) -> tuple[TopicSetting, ...]:
    in_sync = min(2, settings.replication)
    must_be_whole = topic in (settings.texts, settings.queries, settings.feedback)
    return (
        TopicSetting(
            "cleanup.policy",
            "delete",
            lambda v: "compact" not in v or not must_be_whole,
            "drops records that were not read yet",
        ),
        TopicSetting(
            "min.insync.replicas",
            str(in_sync),
            lambda v: int(v) >= in_sync,
            "an acknowledged record may be on one broker only",
        ),
        TopicSetting(
            "unclean.leader.election.enable",
            "false",
            lambda v: v == "false",
            "a broker that lags may take over and drop what was acknowledged",
        ),
    )


def partitions_of(settings: KafkaSettings, topic: str) -> int:
    """How many partitions a new topic gets. Feedback has one order in which the last word on a question is
    the last, and people write little of it; answers to the canary are few."""
    return 1 if topic in (settings.feedback, settings.canary_answers) else settings.partitions


def created_with(settings: KafkaSettings, topic: str) -> dict[str, str]:
    """The settings of a new topic."""
    return {setting.name: setting.value for setting in topic_settings(settings, topic)}


def differences(settings: KafkaSettings, topic: str, config: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each setting in `config` that is not right; one that is not in it counts as right."""
    for setting in topic_settings(settings, topic):
        value = config.get(setting.name)
        if value is not None and not setting.is_right(value):
            yield f"{setting.name}={value}: {setting.otherwise}; it should be {setting.value}"
