"""Who may erase and compact in a shard, and what was erased there: all in the shard's own slot.

The solver's checkpoint stands in one slot of a cluster and each shard in another, and every slot fails over
alone, perhaps to an older state. But what was erased must be covered by the checkpoint that a solver goes on
from: it could not take out again what is in its statistics and no longer in the store. So a shard notes the
last deletion of which something was erased, and a solver that takes over looks at it *after* it has fenced
the shard:

    claim the role           (solver's slot)  from here on no other solver saves a checkpoint
    fence each shard         (its slot)       from here on no other solver erases there
    load the checkpoint      (solver's slot)
    compare                  erased, and the floor, <= the checkpoint's watermark of the shard

    an entry at 3, deleted by 8; checkpoint C0 covers up to 5, C1 up to 9; the entry was erased by C1

    what fell back                          found at the take-over          what is done
    nothing                                 C1, erased 8 <= 9               go on
    the solver's slot, to C0                C0, erased 8 > 5                learn anew from the store
    the solver's slot, to no checkpoint     none                            learn anew from the store
    the shard, to before the erasure        C1, the entry is pending        erase it again
    the shard, to before the deletion       C1, the shard ends before 9     ingest brings 8 again: erase again
    both, to C0 and before the erasure      C0, the entry is pending        go on: it is taken out again
    the shard, to an earlier fence          (before a save) not our fence   take over anew
    the solver's slot, to an earlier owner  (before a save) not our role    take over anew

The last two matter because an earlier solver that hangs may still be about to erase what it was allowed to.
It erases only if its own fence still stands, which is looked at in the same transaction, and its fence stands
again only if the shard fell back to a state before ours. So before each save it is checked that no other
fence stands: then nobody else has erased since ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hurnet_stream.adapters.redis.opened import OpenedStore
from hurnet_stream.adapters.redis.scripts import FENCE_SHARD
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.errors import RolledBack, StoreReplaced, Superseded


def fence(store: OpenedStore, partitions: list[int], owner: str) -> Mapping[int, int]:
    """See `EntryStore.fence`."""
    pipe = store.client.pipeline(transaction=False)
    for partition in partitions:
        keys = store.keys.shard(partition, "fence"), store.keys.shard(partition, "state")
        pipe.eval(FENCE_SHARD, len(keys), *keys, owner, store.meta.epoch)
    gone: dict[int, int] = {}
    for partition, reply in zip(partitions, pipe.execute(), strict=True):
        if reply is None:
            raise store.replaced(partition)
        gone[partition] = max(map(int, reply))
    return gone


def check(store: OpenedStore, partitions: list[int], owner: str) -> None:
    """See `EntryStore.check_fences`."""
    pipe = store.client.pipeline(transaction=False)
    for partition in partitions:
        pipe.hget(store.keys.shard(partition, "fence"), "owner")
    *holders, solver = pipe.get(store.keys.solver("owner")).execute()
    check_role(solver, owner)
    for partition, holder in zip(partitions, holders, strict=True):
        _check_holder(partition, holder, owner)


def check_role(solver: bytes | None, owner: str) -> None:
    """Raises `Superseded` if another solver than `owner` holds the role, `StoreReplaced` if none does."""
    if solver is None:
        raise StoreReplaced("the store knows no solver any more: it was restored or emptied")
    if solver != owner.encode():
        raise Superseded(f"solver {owner!r} no longer holds the role: it erases nothing more")


def looked_at(pipe: Any, key: str, partition: int, owner: str) -> int:
    """The last deletion of which something was erased. Called under a watch of the shard's fence, `key`,
    which is ours or nobody's: otherwise raises `RolledBack`."""
    holder, erased = pipe.hmget(key, "owner", "erased")
    _check_holder(partition, holder, owner)
    return NOTHING if erased is None else int(erased)


def _check_holder(partition: int, holder: bytes | None, owner: str) -> None:
    if holder not in (None, owner.encode()):
        raise RolledBack(
            f"shard {partition} fell back behind what this solver has noted there, and another may have"
            " erased rows meanwhile: taking over anew"
        )
