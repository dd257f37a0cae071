"""Everything that goes wrong on purpose.

HurnetError
├── TransientError          it should pass by itself: retried with growing waits, and in the end given up
│   ├── KafkaFailing            no broker answers, or none answers as it should
│   ├── RedisFailing            the store is away, full, or a read-only replica
│   ├── SliceFailing            a slice of the entries is away, or does not answer as it should
│   ├── RegistryFailing         the schema registry is away, or does not let us in
│   ├── DaskFailing             the Dask cluster that embeds is away, or has no worker that can
│   ├── SegmentsFailing         the folder or object store of sealed rows is away, or full
│   ├── RolledBack              part of the store fell back in a failover: taken up anew from what is there
│   └── Stalled                 one topic accepts no messages at the moment, while others do
├── Undeliverable           a broker refuses a message, because of what it is or because of where it goes
│   └── TooLarge                because of its size
├── ConfigurationError      settings, topics or rights are wrong or missing: a person must act
│   └── CredentialsRefused      a server refuses our password, token or certificate, or we refuse its own
├── StoreError              the store and what is asked of it do not fit together
│   ├── EmbedderMismatch        the store was filled with another embedder
│   ├── Unreadable              something in the store is damaged
│   │   ├── SegmentMissing          a file of sealed rows is gone
│   │   └── UpgradeNeeded           it is not damaged: a newer hurnet wrote it
│   ├── StoreGap                the topic no longer holds the next record, or never held the last one
│   │   └── ForeignLog              this is another Kafka than the one that the store was filled from
│   └── StoreReplaced           the store was begun anew, or compacted, under a worker: it must read again
├── Superseded              another worker has taken over the role of this one
└── TooManyDeadLetters      so much input is bad that the worker stops, because it was told to
"""

from __future__ import annotations

from collections.abc import Set


class HurnetError(Exception):
    """The base of all. Its message says what happened and what to do."""

    blames_input = False
    """Whether what was in hand may be the cause, though nothing says which part of it."""


class TransientError(HurnetError):
    """Something should pass by itself. The loop retries the turn."""

    dependency = ""
    """The server that fails, or "" if it is not a server."""


class KafkaFailing(TransientError):
    """Kafka is away, or can't do at the moment what it is asked for."""

    dependency = "Kafka"


class RedisFailing(TransientError):
    """Redis is away, or can't do at the moment what it is asked for."""

    dependency = "Redis"


class RegistryFailing(TransientError):
    """The schema registry is away, can't do at the moment what it is asked for, or does not let us in."""

    dependency = "Registry"


class DaskFailing(TransientError):
    """The Dask cluster that embeds is away, or none of its workers can do what is asked."""

    dependency = "Dask"


class SegmentsFailing(TransientError):
    """The folder or object store that holds sealed rows is away, full, or does not let us in."""

    dependency = "Segments"


class SliceFailing(TransientError):
    """A slice of the entries is away, or does not answer as it should. `broke` says that it was gone in the
    middle of a request, of which it may have died."""

    dependency = "Slices"

    def __init__(self, message: str, broke: bool = False) -> None:
        super().__init__(message)
        self.blames_input = broke


class Stalled(TransientError):
    """Messages to `topics` were not acknowledged in time, although the brokers answered everything else."""

    def __init__(self, message: str, topics: Set[str]) -> None:
        super().__init__(message)
        self.topics = frozenset(topics)


class Undeliverable(HurnetError):
    """A message is refused, and would be refused again.

    If there are `topics`, they accept nothing from us. Otherwise one of the messages with the numbers
    `suspects` (positions in what was sent together) is refused because of what it is."""

    def __init__(
        self, message: str, suspects: Set[int] = frozenset(), topics: Set[str] = frozenset()
    ) -> None:
        super().__init__(message)
        self.suspects = frozenset(suspects)
        self.topics = frozenset(topics)


class TooLarge(Undeliverable):
    """It is the size of one of the suspects that is refused."""


class ConfigurationError(HurnetError):
    """Something is wrong that does not pass by itself. A worker ends with exit code 2."""


class CredentialsRefused(ConfigurationError):
    """A server refuses our password, token or certificate, or its own certificate can't be verified.

    A worker that was never connected ends, as after any mistake in its settings. A running one tries again:
    what it was connected by may just be renewed. `dependency` is the server."""

    dependency = ""


class KafkaRefuses(CredentialsRefused):
    """Of Kafka's brokers."""

    dependency = "Kafka"


class RedisRefuses(CredentialsRefused):
    """Of the store."""

    dependency = "Redis"


class StoreError(HurnetError):
    """The store can't be used as asked."""


class EmbedderMismatch(StoreError):
    """The embedder's fingerprint is not the one that the store was filled with."""


class Unreadable(StoreError):
    """Something in the store can't be read: it is damaged, or another program wrote it."""


class SegmentMissing(Unreadable):
    """A file that the store names is not there: it was removed, or this is another folder than the solver's.
    What was read of the store just before may be out of date: then the store names another file by now."""


class UpgradeNeeded(Unreadable):
    """A newer hurnet wrote it, in a format that this one does not know. Nothing is damaged."""


class StoreGap(StoreError):
    """Records that the store has not seen are gone from the topic, or records that it has seen are not there.

    The first happens if retention took them before ingest read them. The second happens if the topic was made
    anew, or if the brokers lost what they had acknowledged."""


class ForeignLog(StoreGap):
    """The Kafka at this address is another cluster than the one that the store was filled from.

    A running worker stops using it, and looks again from time to time."""


class StoreReplaced(StoreError):
    """What this worker has in memory is no longer what the store says: it is another store than the one that
    was opened, or this worker was so far behind that deletions were compacted away before it came to them.

    The loop builds the worker anew."""


class RolledBack(TransientError):
    """Part of the store fell back behind what this worker has seen of it, as in a failover. The worker takes
    up its work anew from what is there."""


class Superseded(HurnetError):
    """A newer worker holds the role (its lease, checkpoint or transactional id), so this one must stop."""


class TooManyDeadLetters(HurnetError):
    """Too many records in a row, or too large a share of them, became dead letters.

    This is raised only if HURNET_INGEST_DEAD_LETTERS_STOP says so. Otherwise it is an alarm."""
