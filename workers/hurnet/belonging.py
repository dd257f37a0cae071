"""Whether a context and a log belong together, and the way out where they don't."""

from __future__ import annotations

from hurnet.core.stored.batch import LogIdentity
from hurnet.errors import ForeignLog, StoreGap

WAY_OUT = (
    "Nothing was changed. `hurnet repair` tells what the topic lacks; with --yes it puts the context aside, "
    "sends to the topic again what only the context has, and lets a new one be filled from it."
)


def check(bound: LogIdentity, found: LogIdentity) -> None:
    """Raises `ForeignLog` if a context of `bound` meets another cluster, and `StoreGap` if it meets another
    topic of the same name."""
    if found.cluster != bound.cluster:
        raise ForeignLog(
            f"this Kafka is cluster {found.cluster}, and the context belongs to cluster {bound.cluster}:"
            " point HURNET_KAFKA_BOOTSTRAP at that one, or set HURNET_REDIS_PREFIX to a new name for a"
            " context of this one"
        )
    if found.topic != bound.topic:
        raise StoreGap(
            f"the topic of texts was recreated: it is {found.topic} now, and the context was filled from "
            f"{bound.topic}. {WAY_OUT}"
        )


def check_reader(bound: LogIdentity, found: LogIdentity) -> None:
    """`check` for a worker that only reads the context. Raises `ForeignLog` in both cases: such a worker can
    let go of the context and look again, while the one that fills it needs a person's decision."""
    try:
        check(bound, found)
    except StoreGap as error:
        raise ForeignLog(str(error)) from error
