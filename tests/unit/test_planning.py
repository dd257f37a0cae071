"""`hurnet plan`: its figures, the laws of its model, and what it prints."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_stream.command_line import hurnet
from hurnet_stream.operations.planning import formulas
from hurnet_stream.operations.planning.figures import WHICH, embedders, figures, numbers
from hurnet_stream.operations.planning.model import BUSY_MOST, SLICES, plan_of, planned
from hurnet_stream.operations.planning.planning import plan
from hurnet_stream.operations.planning.shapes import Load, Machine, Shape
from hurnet_stream.operations.planning.steps import first_rows, steps

ROOT = Path(__file__).parents[2]
LOAD = Load(1_000_000, 512, texts_s=100, questions_s=20, embed_us=270)
MACHINE = Machine()
LOADS = st.builds(
    Load,
    rows=st.integers(1, 10**9),
    dimensions=st.sampled_from([64, 512, 1_024]),
    texts_s=st.floats(0, 10_000),
    questions_s=st.floats(0, 300),
    embed_us=st.floats(1, 10_000),
    keyed=st.booleans(),
    replicas=st.integers(1, 3),
)


def test_every_figure_says_where_it_is_from_and_how_far_it_spreads() -> None:
    benchmarks = {path.stem for path in (ROOT / "tests/benchmarks").glob("[a-z]*.py")}
    for figure in figures():
        assert 0 <= figure.low <= figure.value <= figure.high, figure.name
        assert all((figure.what, figure.by, figure.on))
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", figure.at)
        assert set(re.findall(r"ONLY=(\w+)", figure.by)) <= benchmarks, figure.name


def test_every_figure_is_used() -> None:
    """By the largest of plans, which takes all steps."""
    asked: set[str] = set()

    class Watched(dict[str, float]):
        def __getitem__(self, name: str) -> float:
            asked.add(name)
            return super().__getitem__(name)

    watched = Watched(numbers())
    for shape in (Shape(), Shape(4, False, True, 3), Shape(4, True, True, 3)):
        plan_of(replace(LOAD, keyed=True), shape, MACHINE, watched)
    assert {figure.name for figure in figures()} - {f"embed_us {name}" for name in embedders()} == asked


@given(load=LOADS)
@settings(max_examples=40, deadline=None)
def test_more_of_anything_never_takes_less(load: Load) -> None:
    said = numbers()
    shape = planned(load, MACHINE, said).shape
    before = plan_of(load, shape, MACHINE, said)
    for more in (
        replace(load, rows=2 * load.rows),
        replace(load, dimensions=2 * load.dimensions),
        replace(load, texts_s=load.texts_s + 100),
        replace(load, text_bytes=2 * load.text_bytes),
    ):
        after = plan_of(more, shape, MACHINE, said)
        assert after.memory_bytes >= before.memory_bytes
        assert after.machines >= before.machines
        assert after.cores >= before.cores * (1 - 1e-9)
        assert after.partitions >= before.partitions


@given(load=LOADS)
@settings(max_examples=40, deadline=None)
def test_a_plan_fills_no_process_beyond_its_core_or_its_machine(load: Load) -> None:
    said = numbers()
    found = planned(load, MACHINE, said)
    assert not math.isinf(found.asked.p99_ms)
    assert found.partitions % found.shape.slices == 0, "each slice has the same number of them"
    for part in found.parts:
        if part.name in ("responder", "coordinator", "slice", "ingest"):
            # What comes in is followed beside the questions.
            followed = (
                load.texts_s * (said["follow_us"] + said["follow_us_a_dimension"] * load.dimensions) / 1e6
            )
            assert part.cores <= part.processes * (BUSY_MOST + followed) + 1e-6, part
    if found.shape.slices < SLICES[-1]:
        assert all(part.bytes_each <= MACHINE.bytes_to_fill for part in found.parts)


@given(load=LOADS)
@settings(max_examples=25, deadline=None)
def test_what_was_measured_lies_within_the_spread(load: Load) -> None:
    made = plan(load, MACHINE, "use+hash512")
    assert made.least.memory_bytes <= made.plan.memory_bytes <= made.most.memory_bytes
    assert made.least.cores <= made.plan.cores * (1 + 1e-9)
    assert made.plan.cores <= made.most.cores * (1 + 1e-9)
    assert made.least.shape == made.plan.shape == made.most.shape


def test_the_example_of_the_model() -> None:
    said = numbers()
    alone, together = (formulas.question_us(1e6, 256, said, how) for how in ("alone", "together"))
    assert alone / 1e3 == pytest.approx(10, abs=0.5)
    assert together / 1e3 == pytest.approx(3.0, abs=0.2)
    turn = formulas.turn_s(100, 10_000, 3_000, 13)
    assert turn * 1e3 == pytest.approx(33, abs=0.5)
    assert formulas.turn_s(400, 10_000, 3_000, 13) == math.inf, "more than can be answered"


@pytest.mark.parametrize("name", ["memory tiers", "sealed segments"])
def test_a_step_is_taken_from_the_rows_on_that_are_told(name: str) -> None:
    """What is asked for is the memory alone: few questions, and all the time there is."""
    load = replace(LOAD, questions_s=0.0, texts_s=0.0, p99_ms=1e9, replicas=1)
    (step,) = (s for s in steps(planned(load, MACHINE, numbers()), MACHINE, numbers()) if s.name == name)
    for rows, taken in ((int(step.rows), True), (int(step.rows) - 1, False)):
        found = planned(replace(load, rows=rows), MACHINE, numbers())
        by_name = {
            "memory tiers": found.shape.tiers or found.shape.slices > 1,
            "sealed segments": found.shape.segments,
        }
        assert by_name[name] == taken, f"{rows:,} rows"


def test_rows_are_found_by_halving() -> None:
    assert first_rows(lambda rows: rows >= 12_345) == 12_345
    assert first_rows(lambda _: True) == 0
    assert first_rows(lambda _: False) == math.inf


def test_a_first_fill_in_a_stated_time_takes_the_processes_that_it_needs() -> None:
    made = plan(replace(LOAD, rows=10_000_000, fill_hours=0.25), MACHINE, "use+hash512").plan
    assert made.fill_hours <= 0.25
    assert made.partitions >= next(part.processes for part in made.parts if part.name == "ingest")


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(hurnet, ["plan", *arguments])
    return done.exit_code, done.output


def leaves(value: object) -> Iterator[object]:
    for each in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from leaves(each)
    yield value


def test_the_command_says_the_same_to_people_and_to_programs() -> None:
    asked = ("--rows", "1e9", "--dimensions", "512", "--questions-per-second", "20", "--price-core", "1")
    code, text = run(*asked, "--price-gib", "0.1")
    assert code == 0
    code, line = run(*asked, "--price-gib", "0.1", "--json")
    said = json.loads(line)
    assert code == 0
    assert said["plan"]["machines"] * (16 + 6.4) == pytest.approx(said["plan"]["cost_an_hour"])
    assert f"{said['plan']['shape']['slices']} slices" in text
    assert f"cost an hour: {said['plan']['cost_an_hour']:,.2f}" in text
    assert not any(isinstance(leaf, float) and math.isinf(leaf) for leaf in leaves(said))


def test_a_p99_that_can_not_be_kept_is_told_by_the_exit_code() -> None:
    code, text = run("--rows", "1M", "--p99", "5")
    assert code == 1
    assert "can't be kept" in text


@pytest.mark.parametrize(
    "wrong",
    [
        *(("--rows", rows) for rows in ("many", "-1", "1e99", "nan", "", "M", "10B", "inf")),
        ("--embedder", "mine"),
        ("--price-core", "1"),
        ("--dimensions", "0"),
        ("--replicas", "0"),
        ("--p99", "-1"),
    ],
)
def test_nonsense_is_refused(wrong: tuple[str, ...]) -> None:
    code, text = run(*wrong)
    assert code == 2, text


@pytest.mark.parametrize("rows", ["0", "1", "1e12"])
def test_the_least_and_the_largest_end_in_a_plan(rows: str) -> None:
    code, text = run("--rows", rows, "--questions-per-second", "0", "--texts-per-second", "0")
    assert code in (0, 1), text


@pytest.mark.parametrize(("rows", "unit"), [("1M", "minutes"), ("1G", "hours")])
def test_a_first_fill_is_told_in_minutes_if_it_takes_no_hour(rows: str, unit: str) -> None:
    _, text = run("--rows", rows)
    (line,) = [each for each in text.splitlines() if each.startswith("a first fill")]
    assert line.endswith(unit)


def test_figures_are_listed_with_their_commands() -> None:
    code, text = run("--figures", "--json")
    assert code == 0
    listed = [json.loads(line) for line in text.splitlines()]
    assert [each["name"] for each in listed] == [figure.name for figure in figures()]
    assert len(WHICH) == 3
