"""The solver's checkpoint, the audit of deletions, and the weights that the solver publishes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from hurnet_stream.core.solve.weights import NO_FEATURES
from hurnet_stream.core.solve.window import context_of
from hurnet_stream.core.stored.batch import Deletion, ShardState

if TYPE_CHECKING:
    from hurnet_stream.core.rule.mix import Mix
    from hurnet_stream.core.solve.weights import Weights
    from hurnet_stream.core.statistics.statistics import Statistics

MIXES_KEPT: Final = 8
"""Old mixes of a context that are kept: 3 kB each. A context learns a new one when a fiftieth of it has
changed, so they reach back to when it was a sixth smaller."""

OnProgress = Callable[[], None]
"""Called after each step of a long piece of work."""


@dataclass(frozen=True, slots=True)
class DeletionAudit:
    """The audit of one deletion: what the solver took out of its statistics.

    `entries` is how many entries were found in the store and `pairs` how many of them were pairs. If the
    targets are many, `deletion.targets` holds only the last ones. `digests` gives, by the key of each
    statistics that changed, its digest with and without what was deleted. Deletions that were read in one
    step share both digests and `watermarks`, the offsets up to which the statistics had been folded.
    """

    partition: int
    deletion: Deletion
    done_ms: int
    pairs: int
    digests: Mapping[str, tuple[str, str]]
    watermarks: Mapping[int, int]
    entries: int = 0

    @property
    def context(self) -> str:
        """The context that the deletion names or, if it names none, one that lost pairs; "" if none did."""
        named = self.deletion.context
        return next(iter(sorted(map(context_of, self.digests))), "") if named is None else named

    @property
    def contexts(self) -> Set[str]:
        """All contexts that lost something, as far as is known; "" among them: others may have, too."""
        known = {*map(context_of, self.digests), *([self.deletion.context] if self.deletion.context else ())}
        # Entries that are no pairs are in no digest.
        unknown = self.deletion.context is None and self.entries != self.pairs
        return known | {""} if unknown else known


def oldest_audits(audits: Sequence[DeletionAudit], keep: int) -> list[DeletionAudit]:
    """Those beyond the newest `keep` of each context. Audits come oldest first."""
    of_context = Counter(audit.context for audit in audits)
    oldest = []
    for audit in audits:
        of_context[audit.context] -= 1
        if of_context[audit.context] >= keep:
            oldest.append(audit)
    return oldest


def forgetful(audits: Sequence[DeletionAudit], versions: Mapping[str, int]) -> dict[str, int]:
    """Of the contexts whose mixes have these `versions`, those that may have lost something by the deletions:
    all, if nobody knows of which context a deletion was."""
    contexts = {context for audit in audits for context in audit.contexts}
    return dict(versions) if "" in contexts else {c: v for c, v in versions.items() if c in contexts}


@dataclass(slots=True)
class Checkpoint:
    """The solver's state: statistics, and the watermark per shard that they cover exactly.

    `statistics` has one item per context; if pairs age, one per pane of a context (keys of window.py), and
    the window ends at `pane`. `features` is the identity of the kernel features that they are sums of.
    `unlearned` are the audits of deletions that were folded in since the last save: saving writes them, and
    for each deletion the audit that was written first stays. `stamp` names the stored checkpoint that this
    one was loaded from or last saved as; "" for one that was begun anew.
    """

    statistics: dict[str, Statistics] = field(default_factory=dict)
    shards: dict[int, ShardState] = field(default_factory=dict)
    features: str = NO_FEATURES
    unlearned: list[DeletionAudit] = field(default_factory=list)
    pane: int = 0
    stamp: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class PublishedWeights:
    """Weights as responders see them. `watermarks` are the offsets per shard up to which they learned."""

    context: str
    version: int
    weights: Weights
    watermarks: Mapping[int, int]
    published_ms: int


@dataclass(frozen=True, slots=True)
class PublishedMix:
    """What a context learned from its own pairs, as all responders use it. `rows` is how many entries the
    context had, and `watermarks` up to which offsets its shards were known."""

    context: str
    mix: Mix
    rows: int
    watermarks: Mapping[int, int]
    published_ms: int


class WeightsStore(Protocol):
    """Where the solver keeps its checkpoint and publishes weights.

    One solver writes at a time: `claim` fences every earlier one, whose next write raises `Superseded`.
    """

    on_progress: OnProgress
    """Called after each step of loading or saving a checkpoint, either of which may take minutes."""

    def claim(self, owner: str) -> None:
        """Make `owner` the only solver that may write. Raises `StoreReplaced` if the store was begun anew."""

    def load_checkpoint(self, dimension: int, features: str = NO_FEATURES) -> Checkpoint:
        """The saved checkpoint; an empty one if there is none.

        If the saved one is of other features, an empty one with the identity of those is returned, and
        the next save replaces what is stored. Raises `Unreadable` if it is damaged or of another dimension.
        """

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Save all of the checkpoint in one atomic step.

        Only answers that changed are written. Afterwards they are marked as saved, `unlearned` is empty,
        and the checkpoint has a new `stamp`. Raises `Superseded`.
        """

    def audit(self) -> Sequence[DeletionAudit]:
        """The audit of every deletion that was folded in, oldest first."""

    def audit_of(self, records: Collection[tuple[int, int]]) -> Sequence[DeletionAudit]:
        """The audits of the deletions at these (partition, offset), without those not folded in yet."""

    def trim_audit(self, keep: int) -> int:
        """Drop the oldest audits of each context that has far more than `keep` of them. Returns how many were
        dropped. Raises `Superseded`."""

    def publish(self, weights: PublishedWeights) -> None:
        """Put the weights in force by compare-and-set.

        Their version must be the last version plus one, and no watermark may be lower than that of the
        weights in force; otherwise raises `Superseded`.
        """

    def withdraw(self, context: str, version: int) -> None:
        """Remove the weights of a context that has no pairs left.

        `version` must be the last version plus one, as readers tell by it that something changed;
        otherwise raises `Superseded`.
        """

    def versions(self) -> Mapping[str, int]:
        """The newest version per context, withdrawn ones included."""

    def known_by_weights(self) -> Mapping[int, int]:
        """Per shard the highest watermark that any weights in force have seen.

        Weights that have seen less must not follow. It lies beyond the shard's own watermark if the store
        lost its tail and is not refilled yet.
        """

    def published_ms(self) -> Mapping[str, int]:
        """When the weights in force of each context were published; 0 if that is unknown."""

    def weights(self, context: str) -> PublishedWeights | None:
        """The weights in force of a context; None if there are none.

        Raises `UpgradeNeeded` if a newer program wrote them, `Unreadable` if they are damaged.
        """

    def publish_mix(self, mix: PublishedMix) -> None:
        """Put a mix in force. Any responder may. Its version must be the last one plus one; otherwise raises
        `Superseded`: another responder was quicker."""

    def withdraw_mix(self, context: str, version: int) -> None:
        """Remove the mix of a context that holds nothing any more.

        `version` must be the last one plus one, as readers tell by it that something changed; otherwise
        raises `Superseded`.
        """

    def mix_versions(self) -> Mapping[str, int]:
        """The newest version of the mix of each context, withdrawn ones included."""

    def mix(self, context: str) -> PublishedMix | None:
        """The mix in force of a context; None if there is none.

        Raises `UpgradeNeeded` if a newer program wrote it, `Unreadable` if it is damaged.
        """

    def mix_of_version(self, context: str, version: int) -> PublishedMix | None:
        """The mix of a context with this version: the one in force, or one of the last that were; None if it
        is gone. A deletion takes all old mixes of its context along. Raises as `mix` does."""
