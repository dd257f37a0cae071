"""Every key in Redis, in one place.

P is the prefix (HURNET_REDIS_PREFIX) and N a shard. No script, transaction or WATCH touches keys of two
shards, or keys of a shard beside those of the store, the workers and the solver. So on a Redis Cluster each
shard has a slot (the hash tag {shard-N}), and all the others have one together, whose tag is the prefix:

    one server                cluster
    P:meta                    P:{P}:meta
    P:lease:ROLE              P:{P}:lease:ROLE
    P:{solver}:owner          P:{P}:solver:owner
    P@1:{solver}:owner        P@1:{P}:solver:owner       a generation is in the slots of the first one,
    P.aside-E:meta            P.aside-E:{P}:meta         and so is a store that was put aside
    P:{shard-N}:state         P:{shard-N}:state
    P:request:D               P:request:D                spread over the cluster: nothing else is changed with
    it

The store as a whole
    P:meta                  string  JSON: the embedder, the epoch, the formats that a program must speak, and
                                    keys: upsert, unless an older program has begun the store
    P:log                   string  JSON: the Kafka cluster and the UUID of the topic that fills the store
    P:topics                string  JSON: number and UUID of each topic that is read beside that of texts
    P:shards                set     the shards that there are, by number (core/places.py)
    P:contexts              set     the names of contexts that were admitted and not given back
    P:restoring             string  there while a backup is restored: see filling.py
    P:repair                hash    of a repair that is under way: see aside.py
    P:generations           string  JSON: which generations there are, see generations.py; generation N stands
                                    under the prefix P@N
    P:ready                 hash    instance of a responder -> JSON: which generations it holds, presence.py
    P:slices                hash    instance of a slice -> JSON: where it is and what it holds, slices.py
    P:left-out              hash    of a generation that was filled from another: partition/offset of an entry
                                    that it leaves out -> why

A shard
    P:{shard-N}:state       hash    watermark, rows, epoch, anchor (of the last record), deleting (the record
                                    of a deletion of which only some parts are done), replacing (the same of
                                    a text that replaces very many), modes (from which position on keyed
                                    texts were taken in how: "0:append 4711:upsert"); and of compaction:
                                    floor, compacted, next, next_ms, asked (see compacting.py); and
                                    expired/NAME (see expiries.py); rewrites, sealed and sealed-rows (see
                                    sealing.py); while another generation is filled from
                                    it: followed (see copy_notes.py, forward_notes.py)
    P:{shard-N}:stream      stream  id "<watermark + 1>-0"
                                    a batch: row (the number of its first row), epoch, entries, vectors
                                    a deletion: row, epoch, deletion, targets, parts
                                    a batch that replaces: format 3, all of both, and by (which position
                                    takes the place of each target)
    P:{shard-N}:redacted    zset    what is left of batches that lost rows, and of rows that lie in files:
                                    see redaction.py
    P:{shard-N}:unused      hash    name of a file that no item names any more -> since when, in ms
    P:{shard-N}:keys        zset    digest of a record key, context, zero byte, offset: the entries that came
                                    under each key
    P:{shard-N}:recent      zset    while it is followed: offset, digest of a record key; see copy_notes.py
    P:{shard-N}:pending     zset    offset of an entry that is deleted and not erased yet, offset of the
                                    record that deletes it
    P:{shard-N}:parts       hash    of a deletion R with many targets: R -> how many parts it has before its
                                    item in the stream, R/n -> the targets in part n; and id and deletion
                                    (or replacement) of the one under way
    P:{shard-N}:fence       hash    owner (the only solver that may erase and compact here), erased (the last
                                    deletion of which something was): see shard_fence.py
    P:{shard-N}:settled     string  written before a wait for replicas, if HURNET_REDIS_REPLICAS_ACK is set
    P:{shard-N}:sizes       hash    of each context: NAME/rows and NAME/bytes in the store, NAME/first offset
    P:{shard-N}:holds       zset    context, zero byte, id of a batch that holds rows of it

Workers and consumer groups
    P:progress:GROUP        hash    partition -> "OFFSET NOTE", as the group committed it
    P:progress:reshard      hash    of a generation whose topic another one is forwarded to: partition of the
    old
                                    topic -> "NEXT P:OFFSET P:OFFSET ...", all before NEXT is forwarded, and
                                    these offsets of the new topic hold it
    P:working:ROLE          hash    partition -> the owner that has it in hand;
                                    partition/record -> "RECORD COUNT OWNER", the record handled alone
    P:lease:ROLE            string  the owner; expires
    P:request:D             string  JSON: who writes, or has written, the request whose key has the digest D;
                                    expires

The solver
    P:{solver}:owner        string  who may write: the last to claim the role
    P:{solver}:checkpoint   hash    format, stamp, shards (JSON), features, pane; draft while one is written
    P:{solver}:settled      string  as that of a shard
    P:{solver}:grams        hash    key of statistics (a context, or one pane of it) -> count and G
    P:{solver}:sums:K       hash    for such a key K: answer -> n_a and B_a
    P:{solver}:weights:C    hash    weights of context C in force: see published.py
    P:{solver}:versions     hash    context -> version of its weights, withdrawn ones included
    P:{solver}:mixes        hash    context -> JSON: how much each part of an answer counts, see mixes.py
    P:{solver}:mix-versions hash    context -> version of its mix, withdrawn ones included
    P:{solver}:mixes-before:C  hash    version -> JSON of the last mixes of context C that others replaced;
                                    learned: the version up to which mixes have learned what is forgotten
    P:{solver}:audit        hash    partition/offset of a deletion -> JSON; what is there never changes

In a zset all scores are 0: its members are in the order of their bytes, and numbers in them are 8 bytes,
big-endian, so that this is their order too. Such a set is an index that ZRANGEBYLEX looks up by prefix.

Stream items are found by offset and not by row. So a reader's position means the same after a shard that
lost its tail was filled again, in other batches. The epoch ties a shard to its store: if they differ, what
is left of a deleted store meets one that was begun anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

STAYS: Final = re.compile(
    rb"[^:]*:(\{[^}]*\}:)?((generations|ready|slices)$|(lease|progress|request|working):)"
)
"""Keys that belong to workers, groups and clients, not to the store."""


_LATER: Final = re.compile(r"(@\d+)?(\.aside-.*)?$")
"""What a prefix ends with that is not the one in the settings."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of keys under one prefix; `cluster` says whether they are for a Redis Cluster."""

    prefix: str
    cluster: bool = False

    @property
    def meta(self) -> str:
        return self._of_store("meta")

    @property
    def log(self) -> str:
        return self._of_store("log")

    @property
    def topics(self) -> str:
        return self._of_store("topics")

    @property
    def shards(self) -> str:
        return self._of_store("shards")

    @property
    def contexts(self) -> str:
        return self._of_store("contexts")

    @property
    def restoring(self) -> str:
        return self._of_store("restoring")

    @property
    def repair(self) -> str:
        return self._of_store("repair")

    @property
    def generations(self) -> str:
        return self._of_store("generations")

    @property
    def ready(self) -> str:
        return self._of_store("ready")

    @property
    def slices(self) -> str:
        return self._of_store("slices")

    @property
    def left_out(self) -> str:
        return self._of_store("left-out")

    def shard(self, partition: int, name: str) -> str:
        return f"{self.prefix}:{{shard-{partition}}}:{name}"

    def progress(self, group: str) -> str:
        return self._of_store(f"progress:{group}")

    def working(self, role: str) -> str:
        return self._of_store(f"working:{role}")

    def lease(self, role: str) -> str:
        return self._of_store(f"lease:{role}")

    def request(self, digest: str) -> str:
        return f"{self.prefix}:request:{digest}"

    def solver(self, *names: str) -> str:
        name = ":".join(names)
        return self._of_store(f"solver:{name}") if self.cluster else f"{self.prefix}:{{solver}}:{name}"

    def _of_store(self, name: str) -> str:
        return f"{self.prefix}:{self.tag}{name}"

    @property
    def tag(self) -> str:
        """What follows the prefix in all keys of the slot that is the store's and the solver's, on a
        cluster."""
        return f"{{{_LATER.sub('', self.prefix)}}}:" if self.cluster else ""


def starting_with(prefix: bytes) -> tuple[bytes, bytes]:
    """The range of a zset's members that begin with `prefix` and go on, for ZRANGEBYLEX.

    They go on with UTF-8 or with a number below 2**63, neither of which has 0xff as its first byte.
    """
    return b"[" + prefix, b"[" + prefix + b"\xff"


def key_prefix(key: bytes, context: str) -> bytes:
    """What the members of `keys` for this digest of a record key and this context begin with."""
    return key + context.encode() + b"\0"


def key_range(key: bytes, context: str | None) -> tuple[bytes, bytes]:
    """The range of members of `keys` for this digest of a record key, for ZRANGEBYLEX. None: all contexts."""
    return starting_with(key if context is None else key_prefix(key, context))
