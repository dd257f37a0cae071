"""Learning by backpropagation, as it is done well: AdamW, whose decay leaves biases and norms alone, warm-up
and linear decay of the rate, gradients clipped, texts of like length in a batch, another order each epoch.

A *setting* is tried by a run that ends when it reaches the target, or when it has taken longer than the
fastest setting so far. The fastest is then run again with other seeds, and these runs are what is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from tests.benchmarks._curve import Clock, Curve, Point, Stopwatch, looks
from tests.benchmarks._networks import Examples, Rows, learning_operations

WARM_UP: Final = 0.1
"""Share of the steps in which the rate rises."""
DECAY: Final = 0.01
GRADIENT_MAX: Final = 1.0
ASKED_AT_ONCE: Final = 256
SORTED_BATCHES: Final = 32
"""Texts of so many batches are sorted by length together, so that little is padding."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a sweep tries. `layers` and `width` are of the small Transformer alone."""

    rate: float
    epochs: int
    batch: int = 32
    layers: int = 0
    width: int = 0
    optimiser: Literal["AdamW", "SGD"] = "AdamW"

    def __str__(self) -> str:
        size = f"{self.layers} layers of {self.width}, " if self.layers else ""
        return f"{size}{self.optimiser}, rate {self.rate:g}, batches of {self.batch}, {self.epochs} epochs"


@dataclass(frozen=True, slots=True)
class Limit:
    """What ends a run, if its last epoch does not."""

    accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Arm:
    """A network that is to learn: `make` makes one with random weights, which `torch.manual_seed` decides."""

    name: str
    make: Callable[[Setting], nn.Module]
    taught: Examples
    asked: Examples
    settings: Sequence[Setting]
    clock: Clock
    bfloat16: bool = False
    """Whether its products are taken in bfloat16 (autocast)."""

    def run(self, setting: Setting, seed: int, limit: Limit) -> Curve:
        """Learn until accuracy is looked at and `limit` is found to be reached.

        From look to look a GPU is not waited for. Batches are made before, as loaders do beside a training.
        """
        torch.manual_seed(seed)
        network = self.make(setting).train()
        batches = list(batches_of(self.taught, setting, seed))
        step = _steps(network, setting, len(batches))
        watch, curve, operations = Stopwatch(self.clock), Curve(), 0.0
        for portion in between_looks(batches):
            made = [self.taught.batch(rows) for rows in portion]
            with watch:
                for inputs, classes in made:
                    step(self._logits(network, inputs), classes)
            operations += sum(
                learning_operations(network, len(rows), self.taught.length(rows)) for rows in portion
            )
            curve.points.append(Point(watch.seconds, operations, self._accuracy(network)))
            if curve.best >= limit.accuracy or watch.seconds >= limit.seconds:
                break
        return curve

    def _logits(self, network: nn.Module, inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits: Tensor = network(inputs)
        return logits.float()

    @torch.no_grad()
    def _accuracy(self, network: nn.Module) -> float:
        """The share of held-out texts that get their class."""
        network.eval()
        order = np.argsort(self.asked.lengths, kind="stable")
        right = 0
        for first in range(0, len(order), ASKED_AT_ONCE):
            inputs, classes = self.asked.batch(order[first : first + ASKED_AT_ONCE])
            right += int((self._logits(network, inputs).argmax(1) == classes).sum())
        network.train()
        return right / len(order)


def fastest(arm: Arm, target: float, budget_s: float) -> tuple[Setting, list[tuple[Setting, Curve]]]:
    """The setting that reaches `target` first, or else comes closest to it, and all that was tried."""
    tried = []
    limit_s = budget_s
    for setting in arm.settings:
        curve = arm.run(setting, 0, Limit(target, limit_s))
        tried.append((setting, curve))
        if reached := curve.first(target):
            limit_s = min(limit_s, reached.seconds)
    return min(tried, key=lambda pair: _merit(pair[1], target))[0], tried


def _merit(curve: Curve, target: float) -> tuple[float, float]:
    """Less is better: first the time to the target, and without it the best accuracy."""
    reached = curve.first(target)
    return (reached.seconds, 0.0) if reached else (float("inf"), -curve.best)


def batches_of(examples: Examples, setting: Setting, seed: int) -> Iterator[Rows]:
    """The rows of each step: every example once an epoch."""
    chance = np.random.default_rng(seed)
    size, together = setting.batch, setting.batch * SORTED_BATCHES
    for _ in range(setting.epochs):
        order = chance.permutation(len(examples))
        batches: list[Rows] = []
        for first in range(0, len(order), together):
            rows = order[first : first + together]
            rows = rows[np.argsort(examples.lengths[rows], kind="stable")]
            batches += [rows[start : start + size] for start in range(0, len(rows), size)]
        yield from (batches[i] for i in chance.permutation(len(batches)))


def between_looks(batches: Sequence[Rows]) -> Iterator[Sequence[Rows]]:
    """The batches of the steps up to each look, and those of the last steps."""
    done = 0
    for look in looks():
        if done >= len(batches):
            return
        yield batches[done:look]
        done = look


def _steps(network: nn.Module, setting: Setting, steps: int) -> Callable[[Tensor, Tensor], None]:
    """What one step does with logits and their true classes."""
    optimiser = _optimiser(network, setting)
    warm = max(1, round(WARM_UP * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda done: min((done + 1) / warm, (steps - done) / max(1, steps - warm))
    )
    weights = list(network.parameters())

    def step(logits: Tensor, classes: Tensor) -> None:
        nn.functional.cross_entropy(logits, classes).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, GRADIENT_MAX)
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()

    return step


def _optimiser(network: nn.Module, setting: Setting) -> torch.optim.Optimizer:
    weights = list(network.parameters())
    if setting.optimiser == "SGD":
        return torch.optim.SGD(weights, setting.rate, momentum=0.9, nesterov=True)
    groups = [
        {"params": [weight for weight in weights if weight.dim() > 1], "weight_decay": DECAY},
        {"params": [weight for weight in weights if weight.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, setting.rate, fused=True)
