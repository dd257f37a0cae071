"""Everything that goes wrong on purpose.

HurnetError
├── TransientError          something passes by itself: retried with backoff, then fatal
│   ├── KafkaFailing            no broker answers, or not as it should
│   ├── RedisFailing            the store is away, full, or a replica
│   └── Stalled                 one topic takes no messages at the moment, others do
├── Undeliverable           the broker refuses a message for what it is, or for where it goes
├── ConfigurationError      wrong or missing settings, topics, credentials: a person must act
├── StoreError            the context and what is asked of it do not fit together
│   ├── EmbedderMismatch        another embedder made this context
│   ├── Unreadable              something that is stored is damaged
│   │   └── UpgradeNeeded           no, it is whole: a newer hurnet wrote it
│   ├── StoreGap              the topic no longer holds the record that comes next, or never held the last
│   │   └── ForeignLog              this is another Kafka than the one that the context was filled from
│   └── StoreReplaced         the context was deleted and begun anew under a running worker
├── Superseded              another worker has taken over this one's role
└── TooManyDeadLetters      so much input is bad, and the worker is told to stop at that
"""

from __future__ import annotations

from collections.abc import Set


class HurnetError(Exception):
    """Base of all. Its message says what happened and what to do."""


class TransientError(HurnetError):
    """Expected to pass by itself; the loop retries the step."""

    dependency = ""
    """Which server fails, if it is one that does."""


class KafkaFailing(TransientError):
    """Kafka is away, or can't do at present what is asked of it."""

    dependency = "Kafka"


class RedisFailing(TransientError):
    """Redis is away, or can't do at present what is asked of it."""

    dependency = "Redis"


class Stalled(TransientError):
    """Messages to `topics` were not acknowledged in time, though the brokers answered all else."""

    def __init__(self, message: str, topics: Set[str]) -> None:
        super().__init__(message)
        self.topics = frozenset(topics)


class Undeliverable(HurnetError):
    """A message is refused, and would be again. `topics` take none from us; without them it is one of the
    messages at the places `suspects` that is refused for what it is."""

    def __init__(
        self, message: str, suspects: Set[int] = frozenset(), topics: Set[str] = frozenset()
    ) -> None:
        super().__init__(message)
        self.suspects = frozenset(suspects)
        self.topics = frozenset(topics)


class ConfigurationError(HurnetError):
    """Does not pass by itself; the process ends with exit code 2."""


class StoreError(HurnetError):
    """The stored context can't be continued as asked."""


class EmbedderMismatch(StoreError):
    """The fingerprint of the embedder differs from the one stored with the context."""


class Unreadable(StoreError):
    """What is stored can't be read: it is damaged, or another program wrote it."""


class UpgradeNeeded(Unreadable):
    """A newer program wrote it, in a format that this one does not speak: nothing is damaged."""


class StoreGap(StoreError):
    """Records between the watermark and the topic's first offset are gone, or the log was rewritten below the
    watermark: the topic was made anew, or the brokers lost what they had acknowledged."""


class ForeignLog(StoreGap):
    """The Kafka at this address is another cluster than the one that the context was filled from. A running
    worker lets go of it, and looks again now and then."""


class StoreReplaced(StoreError):
    """The store holds another context than the one that was opened, or none: what this worker has in memory
    no longer belongs to it. The loop builds the worker anew."""


class Superseded(HurnetError):
    """A newer worker holds the role (lease, checkpoint or transactional id); this one must stop."""


class TooManyDeadLetters(HurnetError):
    """The limit on consecutive dead letters, or on their share, was passed, and the settings say that this is
    to end the worker (`ingest.dead_letters_stop`): by default it is an alarm."""
