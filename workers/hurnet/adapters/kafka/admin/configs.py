"""What topics are created with, and what is told where one is otherwise: a table, a line a setting.

A topic that is there is never changed: whoever set it so may have had reasons. `hurnet topics` and every
worker at its start tell what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from hurnet.settings.settings import KafkaSettings

FOR_EVER = "-1"
AHEAD_MS = 3_600_000
"""How far ahead of the broker's clock a text may be dated: Kafka's own default."""
DAY_MS = 86_400_000
ANSWERED_MS = DAY_MS
"""Queries and answers repeat what people asked and what the context holds: a day, for those who read late."""
PUT_ASIDE_MS = 7 * DAY_MS
"""Dead letters hold excerpts of records: a week, to look at them and send them again."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A setting: what a topic is created with, which values are right too, and what follows from others."""

    name: str
    value: str
    right: Callable[[str], bool]
    otherwise: str


def wanted(settings: KafkaSettings, topic: str) -> tuple[Wanted, ...]:
    """The table for one of the four topics."""
    kept = {settings.queries: ANSWERED_MS, settings.answers: ANSWERED_MS, settings.dead_letters: PUT_ASIDE_MS}
    in_sync = min(2, settings.replication)
    common = (
        Wanted(
            "min.insync.replicas",
            str(in_sync),
            lambda v: int(v) >= in_sync,
            "an acknowledged record may be on one broker only",
        ),
        Wanted(
            "unclean.leader.election.enable",
            "false",
            lambda v: v == "false",
            "a broker that lags may take over and drop what was acknowledged",
        ),
    )
    whole = Wanted(
        "cleanup.policy",
        "delete",
        lambda v: "compact" not in v or topic not in (settings.texts, settings.queries),
        "drops records that were not read yet",
    )
    if topic == settings.texts:
        lost = "Kafka forgets texts that the context was made of, and Redis has the only copy of their rows"
        return (
            whole,
            *common,
            Wanted("retention.ms", FOR_EVER, lambda v: v == FOR_EVER, lost),
            Wanted("retention.bytes", FOR_EVER, lambda v: v == FOR_EVER, lost),
            Wanted(
                "message.timestamp.after.max.ms",
                str(AHEAD_MS),
                lambda v: int(v) <= DAY_MS,
                "texts dated far ahead never age, and each date takes memory of its own in the solver",
            ),
        )
    copies = "copies of texts and questions stay for ever, also of what was deleted since"
    bounded = Wanted("retention.ms", str(kept[topic]), lambda v: int(v) >= 0, copies)
    if topic == settings.queries:
        clock = "how old a question is depends on its asker's clock"
        stamped = Wanted("message.timestamp.type", "LogAppendTime", lambda v: v == "LogAppendTime", clock)
        bombs = "a packed question may be a thousand times as large as the broker can see"
        unpacked = Wanted("compression.type", "uncompressed", lambda v: v == "uncompressed", bombs)
        return (whole, *common, bounded, stamped, unpacked)
    return (whole, *common, bounded)


def created_with(settings: KafkaSettings, topic: str) -> dict[str, str]:
    """For a new topic."""
    return {setting.name: setting.value for setting in wanted(settings, topic)}


def differences(settings: KafkaSettings, topic: str, config: Mapping[str, str]) -> Iterator[str]:
    """What of `config`, as far as it is known, is not right, each with what follows from it."""
    for setting in wanted(settings, topic):
        value = config.get(setting.name)
        if value is not None and not setting.right(value):
            yield f"{setting.name}={value}: {setting.otherwise}; it should be {setting.value}"
