"""The weights and the mix that a receipt names.

    weights    in force still                        taken as they are
               replaced since                        solved again from the entries that they had learned from:
                                                     by their digest they are the same to the last bit, or not
    mix        in force still, or kept               taken as it is
               gone                                  the factors that the receipt names count

Old weights are kept nowhere: they would be 8 MiB a version at 1,024 dimensions, and would have to be erased
whenever an entry that they have learned is forgotten. They are a function of the entries, the ridge and the
pane, and the solver's sums are exact under any order, so they can be made again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hurnet_schemas import MixReceipt, Receipt, WeightsReceipt
from hurnet_stream.core.native import threads_max
from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.rule.confidence import Calibration
from hurnet_stream.core.rule.mix import PRIOR, Factors, Mix
from hurnet_stream.core.solve.weights import Certificate, Weights, digest_of
from hurnet_stream.core.solve.window import Window
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import Batch, Deletion
from hurnet_stream.errors import StoreReplaced
from hurnet_stream.ports import EntryStore, PublishedWeights, deleted_by
from hurnet_stream.settings.settings import SolveSettings
from hurnet_stream.solver.learning import learn, pairs
from hurnet_stream.solver.publishing import FAILURES, solved

Floats = NDArray[np.float64]
Offsets = NDArray[np.int64]


def is_that(published: PublishedWeights | None, named: WeightsReceipt, watermarks: Mapping[int, int]) -> bool:
    """Whether weights are those that a receipt names, with these watermarks. A version alone does not tell: a
    store that lost its tail gives numbers again."""
    if published is None or published.version != named.version:
        return False
    digest = published.weights.certificate.digest
    if digest and named.digest:
        return digest == named.digest
    return {p: w for p, w in published.watermarks.items() if w >= 0} == watermarks


def other_than(named: WeightsReceipt, solved: Certificate) -> str | None:
    """Why weights that were solved again are not those that a receipt names to the last bit; None: they
    are."""
    if named.digest and solved.digest == named.digest:
        return None
    if round(solved.count) != named.count:
        return f"of the {named.count} pairs that they had learned {round(solved.count)} are there"
    if not named.digest:
        return "an older hurnet gave them no digest, so their last digits may be others"
    differ = "solved again they differ in their last digits"
    if named.threads and named.threads != threads_max():
        return (
            f"{differ}: they were solved by {named.threads} threads, so try OMP_NUM_THREADS={named.threads}"
        )
    return f"{differ}: another program or machine solved them"


@dataclass(slots=True)
class Learner:
    """Learns a context up to the `watermarks` of some weights, and solves them again (`past.Pupil`)."""

    store: EntryStore
    context: str
    named: WeightsReceipt
    watermarks: Mapping[int, int]
    settings: SolveSettings
    kernel_map: KernelMap
    statistics: dict[str, Statistics] = field(default_factory=dict)
    _learned: dict[int, list[Offsets]] = field(default_factory=dict)

    @property
    def upto(self) -> Mapping[int, int]:
        return self.watermarks

    @property
    def _window(self) -> Window:
        return Window(self.settings.half_life_ms, self.named.pane or 0)

    def learn(self, batch: Batch) -> None:
        self._learned.setdefault(batch.partition, []).append(batch.columns.offsets)
        learn(self.statistics, [batch], self.kernel_map, self._window, self.settings.device)

    def unlearn(self, partition: int, deletion: Deletion) -> None:
        for targets in deleted_by(self.store, partition, deletion):
            if known := self._known(partition, targets):
                stored = list(self.store.stored_at(partition, known))
                if sum(len(batch.entries) for batch in stored) < len(known):
                    raise StoreReplaced("entries were erased while they were read")
                self._subtract(stored)

    def _subtract(self, stored: Sequence[Batch]) -> None:
        for key, gone in pairs(stored, self._window).items():
            self.statistics[key].subtract(self.kernel_map(gone.vectors), gone.answers, gone.copies)

    def _known(self, partition: int, targets: Sequence[int]) -> list[int]:
        """Those that were learned, ascending. Most were erased long before, and aren't looked for in the
        store."""
        learned = self._learned.get(partition)
        if not learned:
            return []
        learned[:] = [np.concatenate(learned)]
        known: list[int] = np.intersect1d(learned[0], np.array(targets, np.int64)).tolist()
        return known

    def solve(self) -> PublishedWeights | str:
        """The weights, or why they can't be solved again. They have the digest that the receipt names only if
        they are the same to the last bit."""
        try:
            weights = self._solved()
        except FAILURES as error:
            return f"solving them again failed: {type(error).__name__}: {error}"
        if weights is None:
            return "none of the pairs that they had learned is there"
        return PublishedWeights(self.context, self.named.version, weights, self.watermarks, published_ms=0)

    def _solved(self) -> Weights | None:
        """Those of the digest that the receipt names, in whichever way a solver comes to its λ; else those of
        the λ that it names."""
        first = self._by(self.named.ridge)
        if first is None or self.named.digest in (None, first.certificate.digest):
            return first
        other = None if self.settings.half_life else self._by("gcv")  # no ageing goes together with it
        return other if other and other.certificate.digest == self.named.digest else first

    def _by(self, ridge: float | Literal["gcv"]) -> Weights | None:
        settings = self.settings.model_copy(update={"ridge": ridge})
        weights = solved(self._window, self.statistics, self.context, settings)
        return self._named(self._window.in_force(weights)) if weights else None

    def _named(self, weights: Weights) -> Weights:
        """With the certificate's figures that a receipt names."""
        threads = self.named.threads or 0
        certificate = replace(
            weights.certificate,
            features=self.kernel_map.identity,
            digest=digest_of(weights.projection),
            threads=threads,
        )
        # Row by row, as weights come from a store: the order in memory decides which products are taken.
        projection = np.ascontiguousarray(weights.projection)
        return Weights(projection, certificate)


class RecordedMix(Mix):
    """A mix that is gone: of it there are only the factors that counted for the question."""

    __slots__ = ("factors",)

    factors: Factors

    @classmethod
    def of_receipt(cls, outcome: str, receipt: Receipt, named: MixReceipt) -> RecordedMix:
        """`named` is the mix of the receipt, and `outcome` what became of its question."""
        recorded = RecordedCalibration.of_receipt(outcome, receipt)
        calibration = None if receipt.probability is None else recorded
        made = cls(PRIOR.once, PRIOR.few, PRIOR.many, version=named.version, calibration=calibration)
        factors = Factors(named.meaning, named.memory, named.lexical, named.words, named.weights)
        object.__setattr__(made, "factors", factors)
        return made

    def of(self, shares: Floats, meaning: Floats, spelling: Floats) -> Floats:  # noqa: ARG002 - as of a mix
        """The factors, whatever is near."""
        return np.tile(self.factors.as_row(), (len(shares), 1))


class RecordedCalibration(Calibration):
    """What a mix that is gone said of one answer: how probable it was, and how probable it had to be."""

    __slots__ = ("lowest", "sure")

    sure: float
    lowest: float | None

    @classmethod
    def of_receipt(cls, outcome: str, receipt: Receipt) -> RecordedCalibration:
        """For a receipt that has a probability."""
        made = cls((), (), _nearest_min(outcome, receipt), receipt.rehearsed or 0)
        object.__setattr__(made, "sure", receipt.probability)
        object.__setattr__(made, "lowest", receipt.lowest_probability)
        return made

    def probability(self, evidence: float, margin: float, nearest: float) -> float:  # noqa: ARG002
        """As recorded."""
        return self.sure

    def threshold(self, error_rate: float) -> float | None:  # noqa: ARG002
        """As recorded."""
        return self.lowest


def _nearest_min(outcome: str, receipt: Receipt) -> float:
    """Above the nearest entry of a question that was sure enough and not answered: it was too far away."""
    sure, lowest = receipt.probability, receipt.lowest_probability
    is_far = outcome == "abstained" and sure is not None and lowest is not None and sure >= lowest
    return math.nextafter(receipt.nearest or 0.0, 2.0) if is_far else 0.0
