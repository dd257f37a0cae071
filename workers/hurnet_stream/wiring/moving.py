"""A writer that is restarted with another topic of texts waits until what was written before is there, too.

While `hurnet reshard` forwards the old topic, what the writer has written last may not be in the new one yet.
If it went on at once, a later text of a key would come before an earlier one."""

from __future__ import annotations

import time
from typing import Final

import structlog

from hurnet_stream.errors import ConfigurationError, TransientError
from hurnet_stream.operations.resharding import group_of
from hurnet_stream.settings.settings import KafkaSettings

log = structlog.get_logger()

WAIT_S: Final = 30.0
POLL_S: Final = 0.2


def wait_until_forwarded(kafka: KafkaSettings, prefix: str, wait_s: float = WAIT_S) -> None:
    """Raises `TransientError` if it takes longer than `wait_s`. Returns at once if nothing is forwarded to
    our topic of texts, or if we may not see it."""
    from hurnet_stream.adapters.kafka.admin.forwarded import Forwarded

    group = group_of(prefix, kafka.texts)
    forwarded = Forwarded(kafka, group)
    try:
        ends = forwarded.ends()
    except ConfigurationError as error:
        log.warning(
            "can't see whether another topic is forwarded to ours",
            right=f"DESCRIBE on group {group}",
            error=str(error),
        )
        return
    until = time.monotonic() + wait_s
    while ends and (left := forwarded.left(ends)):
        if time.monotonic() > until:
            raise TransientError(
                f"{left:,} records of the old topic are not in {kafka.texts} yet. Does `hurnet reshard` run?"
            )
        time.sleep(POLL_S)
