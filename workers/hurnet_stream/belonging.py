"""Whether a store and a log belong together, and the way out if they do not.

A store is filled from one topic of one Kafka cluster, and remembers both by their ids. Offsets of another
topic would mean other records, so such a topic is refused and not read.
"""

from __future__ import annotations

from hurnet_stream.core.stored.batch import LogIdentity
from hurnet_stream.errors import ForeignLog, StoreGap

WAY_OUT = (
    "Nothing was changed. `hurnet repair` tells what the topic lacks. With --yes it puts the store aside, "
    "sends to the topic again what only the store has, and lets a new one be filled from the topic."
)


def check(bound: LogIdentity, actual: LogIdentity) -> None:
    """Compare the log that the store is bound to with the one that answers. Raises `ForeignLog` if that is
    another cluster, and `StoreGap` if it is another topic of the same name."""
    if actual.cluster != bound.cluster:
        raise ForeignLog(
            f"this Kafka is cluster {actual.cluster}, and the store belongs to cluster {bound.cluster}:"
            " point HURNET_KAFKA_BOOTSTRAP at that one, or set HURNET_REDIS_PREFIX to a new name for a"
            " store of this one"
        )
    if actual.topic != bound.topic:
        raise StoreGap(
            f"the topic of texts was recreated: it is {actual.topic} now, and the store was filled from "
            f"{bound.topic}. {WAY_OUT}"
        )


def check_topic(name: str, bound: str, actual: str) -> None:
    """Compare the UUID of a topic beside that of texts with the one that answers. Raises `StoreGap` if that
    is another topic of the same name."""
    if actual != bound:
        raise StoreGap(
            f"the topic {name} was recreated: it is {actual} now, and the store has read {bound}. Nothing was"
            " changed. What the store holds of the old one stays if you read the new one under another name."
            " Otherwise let a new store be filled: set HURNET_REDIS_PREFIX to a new name"
        )


def check_reader(bound: LogIdentity, actual: LogIdentity) -> None:
    """`check` for a worker that only reads the store. Raises `ForeignLog` in both cases.

    The loop builds a worker anew after `ForeignLog`. A reader may do that: it lets go of the store and looks
    again. The worker that fills the store needs a person's decision, hence its `StoreGap`.
    """
    try:
        check(bound, actual)
    except StoreGap as error:
        raise ForeignLog(str(error)) from error
