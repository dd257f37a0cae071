"""Which topics of Kafka may hold copies of what was deleted, and by when those are gone.

Kafka keeps records in segments, and drops a segment as a whole, once its youngest record is too old. So a
copy stays until the last record that can share its segment has outlived the retention:

    retention.ms = 1 day, segment.ms = 7 days, records may be dated 1 hour ahead

    copied at the latest                    Monday 12:00
    its segment takes records until         next Monday 12:00        + segment.ms, if nobody writes less often
    the youngest of them is dated           next Monday 13:00        + message.timestamp.after.max.ms
    the segment is too old                  next Tuesday 13:00       + retention.ms
    the broker looks, and deletes the file  next Tuesday 13:11       + 10 minutes, + file.delete.delay.ms

That is a bound, and usually they are gone earlier. There is none if a topic keeps records for ever, if it is
compacted only, or if we may not see its settings. A bound by bytes tells no date.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from hurnet_stream.settings.settings import Settings

LOOKS_MS: Final = 600_000
"""Brokers look for segments that are too old every 5 minutes (log.retention.check.interval.ms, which a topic
does not tell); twice as much, since one look may take a while."""
LATEST_MS: Final = 253_402_300_799_999
"""The last moment of the year 9999: what is kept beyond it is kept for ever."""
_FOR_EVER: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Copies:
    """A topic that may hold copies. `gone_by_ms` is when the last of them is gone, in milliseconds since
    1970; None: no date can be given. `why` is the reason for either."""

    topic: str
    holds: str
    gone_by_ms: int | None
    why: str


def topics_with_copies(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each topic that a text can have come into, and what it holds of it. Reply topics that clients have
    named are not among them: nobody has a list of these."""
    kafka = settings.kafka
    yield kafka.texts, "the records themselves"
    for name in settings.topics:
        yield name, "the records themselves, as their owner wrote them"
    yield kafka.queries, "questions, which may say the same"
    yield kafka.answers, "answers, which quote the nearest entry"
    if settings.gateway.replies:
        yield settings.gateway.replies, "answers to the gateway"
    yield kafka.feedback, "what people said of answers"
    yield kafka.dead_letters, "excerpts of records that were put aside"
    if kafka.audit:
        yield kafka.audit, "who asked; questions only if HURNET_PRIVACY_AUDIT_QUESTIONS says so"
    yield kafka.canary_answers, "answers to the canary, of its own context"


def copies(
    settings: Settings, configs: Mapping[str, Mapping[str, str] | None], deleted_ms: int
) -> list[Copies]:
    """What each topic may hold. `configs` are the settings of topics, by name: None for a topic that is not
    there, empty if they may not be seen. Nothing is copied after `deleted_ms`."""
    found: list[Copies] = []
    for topic, holds in topics_with_copies(settings):
        config = configs.get(topic, {})
        if config is not None:
            gone_by_ms, why = gone_by(config, deleted_ms)
            found.append(Copies(topic, holds, gone_by_ms, why))
    return found


def all_gone_by(found: list[Copies]) -> int | None:
    """When the last copy in the last topic is gone; None if no date can be given."""
    dates = [each.gone_by_ms for each in found]
    known = [date for date in dates if date is not None]
    return max(known, default=None) if len(known) == len(dates) else None


def gone_by(config: Mapping[str, str], written_ms: int) -> tuple[int | None, str]:
    """By when a record that was written at `written_ms` is gone from a topic with these settings; and the
    reason."""
    if not config:
        return (
            None,
            "its settings may not be seen (the right to DESCRIBE_CONFIGS)",
        )
    policy = config.get("cleanup.policy", "delete")
    if "delete" not in policy:
        return None, (
            f"cleanup.policy={policy}: a record goes some time after a newer one with its key, and one"
            " without a key never"
        )
    retention_ms, segment_ms = _number(config, "retention.ms", -1), _number(config, "segment.ms", _FOR_EVER)
    size = _number(config, "retention.bytes", -1)
    by_size = f"; earlier once a partition has more than {size:,} bytes" if size >= 0 else ""
    if retention_ms < 0:
        return None, f"retention.ms=-1: it keeps records for ever{by_size}"
    said = f"retention.ms={retention_ms}, segment.ms={segment_ms}{by_size}"
    gone_by_ms = written_ms + retention_ms + segment_ms + _dated_ahead_ms(config) + LOOKS_MS
    gone_by_ms += _number(config, "file.delete.delay.ms", 60_000)
    return (gone_by_ms, said) if gone_by_ms <= LATEST_MS else (None, f"{said}: practically for ever")


def _dated_ahead_ms(config: Mapping[str, str]) -> int:
    """How far ahead of the broker's clock a record's time may lie. A broker that knows no such limit lets
    producers date records as they like."""
    if config.get("message.timestamp.type") == "LogAppendTime":
        return 0
    return _number(config, "message.timestamp.after.max.ms", _FOR_EVER)


def _number(config: Mapping[str, str], name: str, otherwise: int) -> int:
    try:
        return int(config.get(name, otherwise))
    except ValueError:
        return otherwise
