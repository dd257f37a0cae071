"""The search as two chapters of the paper would have it: in ℓp (equation 12), and with weights that work on
kernel features (equations 7 and 8). It takes the place of `rule.nearest`; the rule itself never meets it.

Both measured no better than the plain search, so both are off unless a setting asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.readable import Allowed, Index
from hurnet_stream.core.paper.feature_sums import FeatureSums
from hurnet_stream.core.paper.lp import EUCLIDEAN, mapped_queries
from hurnet_stream.core.rule.halves import Halves, undivided
from hurnet_stream.core.rule.neighbourhood import Neighbourhood, neighbourhoods
from hurnet_stream.core.rule.rule import predictors
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.core.stored.entries import EntryId

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Variant:
    """`p` other than 2 compares entries in ℓp. With `sums`, the weights work on the kernel features that are
    summed there. With neither it gives what `rule.nearest` gives."""

    p: float = EUCLIDEAN
    sums: FeatureSums | None = None

    def nearest(
        self,
        vectors: Vectors,
        index: Index,
        projection: Floats | None = None,
        exclude: Sequence[EntryId | None] | None = None,
        halves: Halves | None = None,
        within: Sequence[Allowed | None] | None = None,
    ) -> list[Neighbourhood]:
        """As `rule.nearest`. `projection` is (size, size) of the features, if there are any."""
        own = exclude or [None] * len(vectors)
        queries = mapped_queries(vectors, self.p)  # ℓp changes which entries are near, not the weights
        if self.sums is None or projection is None:
            predicts = predictors(index.predicted, projection, vectors, own)
        else:  # the index has the products of vectors at hand, but not those of features: the sums stand in
            of_features = partial(self.sums.predicted, index=index)
            predicts = predictors(of_features, projection, self.sums.features(vectors), own)
        return neighbourhoods(queries, index, halves or undivided(index.dimension), predicts, own, within)
