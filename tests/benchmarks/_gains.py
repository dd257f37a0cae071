"""From what the arms of `training` took to G (equation 6), and how the paper's table 1 compares with it.

arm                         to 94 %     features    G             G, features counted
Transformer, from scratch   1.20 s      none
HurNet                      0.06 s      0.09 s      1.20 / 0.06   1.20 / 0.15
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

from tests.benchmarks._curve import Curve
from tests.benchmarks._report import Report

LEVELS: Final = (0.8, 0.9, 0.94, 0.95, 0.96, 0.97, 0.98)
PAPER: Final = {"G_base": 10_702, "G_finetune": 243, "G_finetune_same_network": 243}
"""Table 1: "Treinamento do modelo base" and, with either encoder frozen, "Ajuste fino"."""


class Spent(NamedTuple):
    """Seconds and operations of an arm, or those of one arm over those of another."""

    seconds: float
    operations: float


NOTHING: Final = Spent(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Result:
    """What an arm reached, a curve for each seed. `weights` is how many numbers it learned, `features` what
    its frozen vectors of the taught texts took."""

    name: str
    setting: str
    weights: int
    curves: Sequence[Curve]
    features: Spent = NOTHING

    def reached(self, level: float) -> bool:
        """Whether more than half of the seeds reached it."""
        return 2 * sum(curve.first(level) is not None for curve in self.curves) > len(self.curves)

    def spent(self, level: float, counted: bool = False) -> Spent:
        """On learning and, if `counted`, on the features, medians over the seeds. A run that did not reach
        the level counts with all that it spent."""
        points = [curve.first(level) or curve.last for curve in self.curves]
        seconds = median(point.seconds for point in points)
        operations = median(point.operations for point in points)
        if counted:
            return Spent(seconds + self.features.seconds, operations + self.features.operations)
        return Spent(seconds, operations)

    @property
    def best(self) -> float:
        """The best accuracy of a run, the median over the seeds."""
        return median(curve.best for curve in self.curves)


Results = Mapping[str, Result]


class Gain(NamedTuple):
    """G, named as among the figures: the arm with the key `over` over the one with the key `under`."""

    figure: str
    over: str
    under: str
    counted: bool = False

    def of(self, results: Results, level: float) -> Spent:
        """The ratios of both; NaN if the arm below did not reach the level."""
        if not results[self.under].reached(level):
            return Spent(math.nan, math.nan)
        over, under = (results[key].spent(level, self.counted) for key in (self.over, self.under))
        return Spent(over.seconds / under.seconds, over.operations / under.operations)


GAINS: Final = {
    gain.figure: gain
    for gain in (
        Gain("G_base", "scratch", "hurnet_spelling"),
        Gain("G_base_features_counted", "scratch", "hurnet_spelling", True),
        Gain("G_base_over_head", "head_spelling", "hurnet_spelling"),
        Gain("G_finetune", "finetune", "hurnet"),
        Gain("G_finetune_features_counted", "finetune", "hurnet", True),
        Gain("G_finetune_over_head", "head", "hurnet"),
        Gain("G_finetune_same_network", "finetune", "hurnet_same_network"),
        Gain("G_finetune_same_network_features_counted", "finetune", "hurnet_same_network", True),
        Gain("G_finetune_same_network_over_head", "head_same_network", "hurnet_same_network"),
    )
}


def report_of(results: Results, target: float) -> Report:
    """The tables of all arms, of G and of the paper's claims, and the figures."""
    report = Report()
    report.table(
        f"To {target:.0%} of the held-out questions",
        ["arm", "setting", ">numbers", ">seconds", ">features, s", ">GFLOP", ">features, GFLOP", ">best, %"],
        [_row(result, target) for result in results.values()],
    )
    report.table(
        "Seconds of learning, features not counted, to each level",
        ["arm", *(f">{level:.0%}" for level in LEVELS)],
        [[result.name, *(_seconds(result, level) for level in LEVELS)] for result in results.values()],
    )
    report.table(
        "G",
        ["figure", "over", "under", ">in time", ">in operations"],
        [
            [gain.figure, results[gain.over].name, results[gain.under].name, *_cells(gain, results, target)]
            for gain in GAINS.values()
        ],
    )
    report.table("The paper's table 1", ["claim", ">paper", ">here", "why"], _claims(results, target))
    for gain in GAINS.values():
        found = gain.of(results, target)
        report.figures |= {gain.figure: found.seconds, f"{gain.figure}_operations": found.operations}
    for key, result in results.items():
        report.figures |= _figures(key, result, target)
    return report


def _row(result: Result, target: float) -> list[object]:
    spent, features = result.spent(target), result.features
    return [
        result.name,
        result.setting,
        f"{result.weights:,}",
        _seconds(result, target),
        f"{features.seconds:.3g}" if features.seconds else "",
        f"{spent.operations / 1e9:,.3g}",
        f"{features.operations / 1e9:,.3g}" if features.seconds else "",
        f"{100 * result.best:.1f}",
    ]


def _seconds(result: Result, level: float) -> str:
    seconds = f"{result.spent(level).seconds:.3g}"
    return seconds if result.reached(level) else f"not in {seconds}"


def _cells(gain: Gain, results: Results, target: float) -> list[str]:
    """Both ratios. A lower bound says so."""
    found = gain.of(results, target)
    if math.isnan(found.seconds):
        return ["-", "-"]
    bound = "" if results[gain.over].reached(target) else "at least "
    return [f"{bound}{ratio:,.3g}" for ratio in found]


def _claims(results: Results, target: float) -> list[list[str]]:
    """Each row of table 1, and the two questions that it leaves open."""
    rows = []
    claims = ("base model", "fine-tuning, default embedder frozen", "fine-tuning, the same network frozen")
    for claim, figure in zip(claims, PAPER, strict=True):
        here, counted, head = (
            _cells(GAINS[name], results, target)[0]
            for name in (figure, f"{figure}_features_counted", f"{figure}_over_head")
        )
        rows += [
            [claim, f"{PAPER[figure]:,}", here, _why(GAINS[figure], results, target)],
            ["  with the features", "", counted, "the frozen encoder has to read each text once"],
            ["  closed form alone", "", head, "against the same head on the same features, by SGD"],
        ]
    return rows


def _why(gain: Gain, results: Results, target: float) -> str:
    """G grows with the network that one compares with, so the paper's figure belongs to a larger one."""
    over, found = results[gain.over], gain.of(results, target).seconds
    if math.isnan(found):
        return "the closed form did not reach the level"
    as_large = over.weights * PAPER[gain.figure] / found
    return (
        f"this network learns {over.weights:,.3g} numbers; G grows with their count, and would be the paper's"
        f" at about {as_large:,.2g}"
    )


def _figures(key: str, result: Result, target: float) -> dict[str, float]:
    spent = result.spent(target)
    return {
        f"seconds_{key}": spent.seconds,
        f"gflop_{key}": spent.operations / 1e9,
        f"feature_seconds_{key}": result.features.seconds,
        f"accuracy_{key}": result.best,
        f"reached_{key}": float(result.reached(target)),
    }
