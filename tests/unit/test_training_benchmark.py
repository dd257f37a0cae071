"""The benchmark of equation 6 splits, times, counts and compares as it says."""

from __future__ import annotations

import math
from itertools import islice, pairwise
from random import Random

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hurnet_stream.core.grid import snap
from tests.benchmarks._closed_form import learned, operations, share_right
from tests.benchmarks._curve import Curve, Point, Stopwatch, looks
from tests.benchmarks._gains import GAINS, NOTHING, Result, Spent, report_of
from tests.benchmarks._intents import Task, intents, split
from tests.benchmarks._learning import Arm, Limit, Setting, batches_of, between_looks, fastest
from tests.benchmarks._networks import (
    Examples,
    SmallTransformer,
    Words,
    learning_operations,
    of_features,
    of_tokens,
)


@pytest.fixture(scope="module")
def task() -> Task:
    return intents()


def test_the_task_is_the_same_every_time_and_no_text_is_taught_and_asked(task: Task) -> None:
    assert task == intents()
    assert not set(task.texts) & set(task.asked)
    assert len(set(task.texts)) == len(task.texts) == len(task.answers) > 5_000
    assert len(set(task.asked)) == len(task.asked) == len(task.expected) > 500
    assert set(task.expected) <= set(task.answers)
    assert [task.names[i] for i in task.classes(task.expected)] == list(task.expected)


def test_a_template_is_asked_only_if_no_intent_teaches_it() -> None:
    shared = [f"shared {i}" for i in range(10)]
    templates = {"A": [*shared, *(f"a {i}" for i in range(20))], "B": [*shared, "b"], "C": ["only one"]}
    for seed in range(20):
        taught, asked = split(templates, Random(seed))
        assert not {template for template, _ in taught} & {template for template, _ in asked}
        assert {intent for _, intent in taught} == {"A", "B", "C"}
        assert len(asked) <= 6 + 2


def test_only_what_is_under_the_watch_is_timed() -> None:
    now = iter([1.0, 3.0, 10.0, 10.5])
    watch = Stopwatch(lambda: next(now))
    with watch:
        pass
    with watch:
        pass
    assert watch.seconds == 2.5


def test_accuracy_is_looked_at_so_often_that_a_time_is_little_too_long() -> None:
    steps = list(islice(looks(), 60))
    assert steps == sorted(set(steps))
    assert all(after <= max(before + 1, before * 1.1) for before, after in pairwise(steps))


def test_a_curve_says_when_a_level_was_reached_first() -> None:
    points = [Point(1.0, 10.0, 0.5), Point(2.0, 20.0, 0.9), Point(3.0, 30.0, 0.8)]
    curve = Curve(points)
    assert curve.first(0.7) is points[1]
    assert curve.first(0.95) is None
    assert (curve.best, curve.last) == (0.9, points[2])


def result(name: str, *runs: tuple[float, float], features: Spent = NOTHING) -> Result:
    """Runs are (seconds, accuracy); operations are a thousand times the seconds."""
    return Result(name, "", 100, [Curve([Point(s, 1000 * s, a)]) for s, a in runs], features)


def arms(**others: Result) -> dict[str, Result]:
    names = {name for gain in GAINS.values() for name in (gain.over, gain.under)}
    hurnet = result("HurNet", (0.5, 0.95), features=Spent(1.5, 0.0))
    return dict.fromkeys(sorted(names), hurnet) | others


def test_g_is_the_ratio_of_medians_with_features_and_without() -> None:
    figures = report_of(arms(scratch=result("T", (9.0, 0.95), (4.0, 0.94), (1.0, 0.1))), 0.94).figures
    assert figures["G_base"] == 4.0 / 0.5
    assert figures["G_base_features_counted"] == 4.0 / 2.0
    assert figures["G_base_operations"] == 8.0
    assert figures["reached_scratch"] == 1.0


def test_an_arm_that_does_not_reach_the_target_bounds_g_from_below_and_is_said_to() -> None:
    slow = arms(scratch=result("T", (60.0, 0.95), (60.0, 0.7), (60.0, 0.7)))
    report = report_of(slow, 0.94)
    assert report.figures["G_base"] == 120.0
    assert report.figures["reached_scratch"] == 0.0
    cells = [cell for _, _, rows in report._tables for row in rows for cell in row]
    assert "at least 120" in cells
    assert "not in 60" in cells


def test_there_is_no_g_over_a_closed_form_that_does_not_reach_the_target() -> None:
    figures = report_of(arms(hurnet=result("HurNet", (0.1, 0.5))), 0.94).figures
    assert math.isnan(figures["G_finetune"])


def test_operations_are_those_that_torch_counts() -> None:
    network = SmallTransformer(50, 7, layers=2, width=64)
    ids = torch.randint(3, 50, (5, 11))
    attention = 3 * 4 * 5 * 11 * 11 * 64 * 2
    with FlopCounterMode(display=False) as counter:
        torch.nn.functional.cross_entropy(network(ids), torch.arange(5)).backward()  # type: ignore[no-untyped-call]
    ours = learning_operations(network, 5, 11)
    assert counter.get_total_flops() in (ours, ours - attention)  # torch knows attention on some processors
    head = torch.nn.Linear(32, 7)
    with FlopCounterMode(display=False) as counter:
        torch.nn.functional.cross_entropy(head(torch.randn(5, 32)), torch.arange(5)).backward()  # type: ignore[no-untyped-call]
    assert counter.get_total_flops() == learning_operations(head, 5, 1)


def test_batches_are_cut_at_each_look_and_all_of_them_come() -> None:
    batches = [np.array([i]) for i in range(30)]
    portions = list(between_looks(batches))
    assert [len(portion) for portion in portions[:3]] == [16, 1, 1]
    assert np.concatenate([batch for portion in portions for batch in portion]).tolist() == list(range(30))
    assert list(between_looks([])) == []


def separable(device: str = "cpu") -> tuple[Examples, Examples]:
    chance = np.random.default_rng(0)
    centres = chance.standard_normal((6, 16))
    classes = chance.integers(0, 6, 300)
    rows = snap(centres[classes] + 0.1 * chance.standard_normal((300, 16)))
    return of_features(rows[:200], classes[:200].tolist(), device), of_features(
        rows[200:], classes[200:].tolist(), device
    )


def test_every_example_is_in_one_batch_an_epoch() -> None:
    taught = separable()[0]
    batches = list(batches_of(taught, Setting(0.1, 3, batch=32), seed=1))
    for epoch in range(3):
        rows = np.concatenate(batches[7 * epoch : 7 * epoch + 7])
        assert sorted(rows.tolist()) == list(range(200))


def test_a_run_learns_and_ends_at_its_limit_and_the_same_seed_is_the_same_run() -> None:
    ticks = iter(range(10**6))
    taught, asked = separable()
    arm = Arm("head", lambda _: torch.nn.Linear(16, 6), taught, asked, [], lambda: float(next(ticks)))
    setting = Setting(10.0, 20, optimiser="SGD")
    curve = arm.run(setting, 1, Limit(0.99, math.inf))
    assert curve.last.accuracy == curve.best >= 0.99
    assert curve.last.seconds < 30
    assert [p.accuracy for p in arm.run(setting, 1, Limit(0.99, math.inf)).points] == [
        p.accuracy for p in curve.points
    ]
    assert arm.run(setting, 1, Limit(2.0, 5.0)).last.seconds == 5.0  # a tick from look to look
    steps = [arm.run(setting, 1, Limit(2.0, limit)).last.operations for limit in (1.0, math.inf)]
    assert steps[1] > 140 / 16 * steps[0] * 0.9  # all of its 20 epochs


def test_a_sweep_takes_the_setting_that_is_first_and_stops_those_that_are_slower() -> None:
    ticks = iter(range(10**6))
    taught, asked = separable()
    hopeless, good = Setting(1e-6, 20, optimiser="SGD"), Setting(10.0, 20, optimiser="SGD")
    arm = Arm(
        "head",
        lambda _: torch.nn.Linear(16, 6),
        taught,
        asked,
        [hopeless, good, hopeless],
        lambda: float(next(ticks)),
    )
    setting, tried = fastest(arm, 0.99, 100.0)
    assert setting == good
    reached = tried[1][1].first(0.99)
    assert reached
    assert tried[0][1].last.operations > tried[2][1].last.operations
    assert tried[2][1].last.seconds == reached.seconds


def test_a_transformer_learns_from_words() -> None:
    texts = [f"{verb} the {thing}" for verb in ("open", "close", "sell") for thing in "abcdefgh"]
    words = Words(texts)
    assert words(["open the zebra"]) == [[2, 3, 4, 1]]
    examples = of_tokens(words(texts), [i // 8 for i in range(24)], "cpu")
    arm = Arm(
        "T",
        lambda s: SmallTransformer(len(words), 3, s.layers, s.width),
        examples,
        examples,
        [],
        lambda: 0.0,
    )
    assert arm.run(Setting(3e-3, 40, 8, 1, 32), 0, Limit(1.0, math.inf)).best == 1.0


def test_the_closed_form_answers_what_it_was_taught() -> None:
    chance = np.random.default_rng(0)
    rows = snap(chance.standard_normal((40, 64)))
    answers = [f"a{i % 4}" for i in range(40)]
    statistics, weights = learned(rows, answers, "cpu")
    assert share_right(statistics, weights, rows, answers) == 1.0
    assert share_right(statistics, weights, rows, ["none"] * 40) == 0.0
    assert operations(40, 64, 4) > operations(40, 32, 4) > operations(20, 32, 4)
