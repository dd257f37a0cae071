"""One context of those that a responder holds, as it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hurnet_schemas.places import ShardName
from hurnet_stream.core.index.readable import Allowed, Index
from hurnet_stream.core.paper.lp import EUCLIDEAN
from hurnet_stream.core.paper.variant import Variant
from hurnet_stream.core.rule import rule
from hurnet_stream.core.rule.halves import Halves
from hurnet_stream.core.rule.mix import Mix
from hurnet_stream.core.rule.neighbourhood import Neighbourhood
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.core.stored.entries import EntryId
from hurnet_stream.places import Places
from hurnet_stream.ports import PublishedWeights

TEXTS_ALONE = Places.only("texts")


@dataclass(frozen=True, slots=True)
class LoadedContext:
    """One context with all that an answer and its receipt need. It is looked up once for all queries that are
    answered together, and passed on. Good until something is next appended or removed."""

    index: Index
    weights: PublishedWeights | None
    watermarks: Mapping[int, int]
    half_life_ms: int
    variant: Variant | None
    """What the paper's chapters change of the search, if a setting asks for one of them."""
    halves: Halves
    mix: Mix
    epoch: str = ""
    """That of the store; "" if there is none."""
    deleting: Mapping[int, int] = field(default_factory=dict)
    """By shard, how many entries are out already of a deletion that the watermark has not passed yet."""
    places: Places = TEXTS_ALONE
    """What its entries and shards are called."""
    missing: tuple[ShardName, ...] = ()
    """Shards whose entries could not be asked, since their slices are away."""

    @property
    def p(self) -> float | None:
        """The p of the ℓp in which entries are compared; None: by the cosine."""
        return self.variant.p if self.variant and self.variant.p != EUCLIDEAN else None

    def nearest(
        self,
        vectors: Vectors,
        exclude: Sequence[EntryId | None] | None = None,
        within: Sequence[Allowed | None] | None = None,
    ) -> list[Neighbourhood]:
        """The nearest entries of each query (n, d), of those that may answer it, and how the weights in force
        predict for them."""
        projection = self.weights.weights.projection if self.weights else None
        search = self.variant.nearest if self.variant else rule.nearest
        return search(vectors, self.index, projection, exclude, self.halves, within)

    def ranked(self, texts: Sequence[str], near: Sequence[Neighbourhood]) -> Iterator[rule.Ranking]:
        """The ranking of each query, one by one, given its text and its nearest entries."""
        return rule.ranked(texts, near, self.index, self.halves, self.mix)
