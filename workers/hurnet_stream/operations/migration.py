"""How far a second generation is, and whether it may answer.

It may answer if it lacks nothing that the other one has:

    texts        it holds all that the other one held when it was asked
    weights      it has some for each context for which the other one has some
    responders   each of them that is there has loaded it
    rehearsed    it has a mix for each context for which the other one has one. Without it answers are mixed
                 by the prior, so they are given, but may be worse

What ingest fills lacks no texts of the other one, since the other one is filled from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hurnet_stream.core.stored.batch import NOTHING, ShardState
from hurnet_stream.core.stored.generations import Generation, Generations
from hurnet_stream.operations.resharding import behind, behind_origin
from hurnet_stream.ports import EntryStore, Presence, WeightsStore

POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Opened:
    """A generation and its stores."""

    generation: Generation
    store: EntryStore
    weights: WeightsStore


@dataclass(slots=True)
class Lacking:
    """What a generation lacks. Empty: nothing."""

    shards: Mapping[int, int] = field(default_factory=dict)
    """By shard, how many offsets it is behind."""
    behind: Mapping[str, int] = field(default_factory=dict)
    """By the names of the old topic's shards, how many offsets of them are not forwarded and taken in yet."""
    lost: int = 0
    """Records that were written to the new topic, and that the old one never gets."""
    weights: list[str] = field(default_factory=list)
    mixes: list[str] = field(default_factory=list)
    responders: list[str] = field(default_factory=list)

    def reasons(self) -> list[str]:
        """In words, each of them why it should not answer yet."""
        found: list[str] = []
        if self.shards:
            behind = ", ".join(f"shard {shard} by {offsets:,}" for shard, offsets in self.shards.items())
            found.append(f"it is behind, in offsets: {behind}. `hurnet migrate --to NAME` fills it")
        if self.behind:
            behind = ", ".join(f"{shard} by {offsets:,}" for shard, offsets in self.behind.items())
            found.append(
                f"it is behind, in offsets: {behind}. `hurnet reshard --partitions N` forwards to"
                " its topic, and"
                " the ingest with its HURNET_KAFKA_TEXTS fills it"
            )
        if self.lost:
            found.append(
                f"{self.lost:,} texts were written to the other topic itself, and this one never gets them"
            )
        if self.weights:
            found.append(f"no weights yet for {_some(self.weights)}: a solver makes them")
        if self.responders:
            found.append(f"not loaded yet by the responders {_some(self.responders)}")
        if self.mixes:
            found.append(
                f"not rehearsed yet: {_some(self.mixes)}. Responders do that once they have loaded it"
            )
        return found


def lacking(
    of: Opened, than: Opened, present: Mapping[str, Presence], upto: Mapping[int, ShardState]
) -> Lacking:
    """What `of` lacks that `than` has, whose states were `upto`."""
    number, reached = of.generation.number, of.store.states()
    behind = {shard: state.watermark - _watermark(reached, shard) for shard, state in upto.items()}
    return Lacking(
        {shard: offsets for shard, offsets in behind.items() if offsets > 0},
        weights=sorted(_solved(than) - _solved(of)),
        mixes=sorted(_mixed(than) - _mixed(of)),
        responders=sorted(instance for instance, said in present.items() if number not in said.holds),
    )


def lacking_topic(of: Opened, than: Opened, present: Mapping[str, Presence]) -> Lacking:
    """What `of` lacks that `than` has, which is filled from another topic of texts. Going back, the old topic
    has all that was written to it; what was written to the new one it never gets."""
    found = lacking(of, than, present, {})
    if of.generation.origin == than.generation.topic:
        found.behind = behind(than.store, of.store)
    else:
        found.lost = behind_origin(of.store, than.store)
    return found


def wait_for(look: Callable[[], Lacking], seconds: float, on_look: Callable[[Lacking], None]) -> Lacking:
    """Look until nothing is lacking, or the time is over. Returns what was lacking at the last look."""
    until = time.monotonic() + seconds
    while True:
        found = look()
        on_look(found)
        if not found.reasons() or time.monotonic() >= until:
            return found
        time.sleep(POLL_S)


def newest(known: Generations) -> Generation:
    """The generation that was begun last."""
    return max(known.members, key=lambda each: each.number)


def oldest(known: Generations) -> Generation:
    """The generation that was begun first."""
    return min(known.members, key=lambda each: each.number)


def _solved(of: Opened) -> set[str]:
    """The contexts with weights in force. One that was dropped has a version, and no time."""
    return {context for context, published_ms in of.weights.published_ms().items() if published_ms}


def _mixed(of: Opened) -> set[str]:
    return {context for context in of.weights.mix_versions() if of.weights.mix(context) is not None}


def _watermark(states: Mapping[int, ShardState], shard: int) -> int:
    return states[shard].watermark if shard in states else NOTHING


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
