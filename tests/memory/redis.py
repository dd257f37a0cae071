"""A Redis in memory: what the three stores keep, and who waits for it to change."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field

from hurnet_stream.core.formats import BEGUN
from hurnet_stream.core.places import NumberedTopic
from hurnet_stream.core.stored.batch import UPSERT, EmbedderIdentity, LogIdentity
from hurnet_stream.ports import Checkpoint, Claim, Committed, DeletionAudit, PublishedMix, PublishedWeights
from tests.memory.shard import Shard


@dataclass(slots=True)
class Working:
    """Who has a partition in hand, and the record that was noted there last: by how many owners, and by whom
    at last (see `EntryStore.attempt`)."""

    owner: str = ""
    record: str = ""
    attempts: int = 0
    noted_by: str = ""

    def excuse(self, owner: str) -> None:
        """What `owner` itself noted here does not count: it has nothing in hand."""
        if self.noted_by == owner:
            self.attempts, self.noted_by = self.attempts - 1, ""
            self.record = self.record if self.attempts else ""


@dataclass(slots=True)
class Data:
    """All that the stores hold. Batches and weights in it are never changed, only replaced."""

    identity: EmbedderIdentity | None = None
    epoch: str = ""
    min_reader: int = BEGUN
    min_writer: int = BEGUN
    keys: str = UPSERT
    redaction: str = ""
    log: LogIdentity | None = None
    topics: dict[str, NumberedTopic] = field(default_factory=dict)
    shards: dict[int, Shard] = field(default_factory=dict)
    contexts: set[str] = field(default_factory=set)
    owner: str = ""
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    audit: dict[tuple[int, int], DeletionAudit] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    weights: dict[str, PublishedWeights] = field(default_factory=dict)
    mixes: dict[str, PublishedMix] = field(default_factory=dict)
    mixes_before: dict[str, dict[int, PublishedMix]] = field(default_factory=dict)
    mixes_learned: dict[str, int] = field(default_factory=dict)
    mix_versions: dict[str, int] = field(default_factory=dict)
    leases: dict[str, tuple[str, float]] = field(default_factory=dict)
    claims: dict[str, tuple[Claim, float]] = field(default_factory=dict)
    progress: dict[str, dict[int, Committed]] = field(default_factory=dict)
    working: dict[tuple[str, int], Working] = field(default_factory=dict)


class MemoryRedis:
    """`incarnation` names the server: it is another one after a restart or a failover."""

    def __init__(self) -> None:
        self.data = Data()
        self.incarnation = secrets.token_hex(4)
        self.changed = threading.Condition()
