"""`hurnet plan`: what a load needs, from measured figures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.exit_codes import DONE, NOT_WELL

if TYPE_CHECKING:
    from hurnet_stream.operations.planning.planning import Planned
    from hurnet_stream.operations.planning.shapes import Part, Plan
    from hurnet_stream.operations.planning.steps import Step

EPILOG = """\b
Examples:
  hurnet plan --rows 10M --questions-per-second 50
  hurnet plan --rows 1e9 --dimensions 512 --questions-per-second 100 --p99 2000
  hurnet plan --rows 100M --price-core 0.04 --price-gib 0.005
  hurnet plan --figures
"""
_FACTORS = {"k": 1e3, "M": 1e6, "G": 1e9}
_MOST = 1e12


def _amount(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """A number as people write large ones: 2500, 10M, 1G, 1e9."""
    text = value.replace(",", "").replace("_", "")
    factor = _FACTORS.get(text[-1:], 1.0)
    try:
        number = float(text[:-1] if factor > 1 else text) * factor
    except ValueError:
        raise click.BadParameter(f"{value!r} is no number such as 2500, 10M, 1G or 1e9") from None
    if not 0 <= number <= _MOST:
        raise click.BadParameter(f"{value!r} is not between 0 and {_MOST:g}")
    return number


_POSITIVE = click.FloatRange(0, 1e9)
_LEAST = click.FloatRange(0.01, 1e6)


@click.command(epilog=EPILOG)
@click.option("--rows", callback=_amount, default="1M", show_default=True, help="Texts that are held.")
@click.option(
    "--dimensions", type=click.IntRange(1, 100_000), default=1_024, show_default=True, help="Of a vector."
)
@click.option(
    "--texts-per-second", callback=_amount, default="10", show_default=True, help="In the busiest hour."
)
@click.option(
    "--questions-per-second", callback=_amount, default="10", show_default=True, help="In the busiest hour."
)
@click.option("--p99", type=_POSITIVE, default=1_000.0, show_default=True, help="Wanted, in milliseconds.")
@click.option("--fill-hours", type=_LEAST, help="In how many hours all rows should be taken in at first.")
@click.option("--embedder", default="use+hash512", show_default=True, help="One that --figures lists.")
@click.option("--embed-us", type=_POSITIVE, help="Instead: µs of a core that another one takes for a text.")
@click.option(
    "--text-bytes", type=_POSITIVE, default=80.0, show_default=True, help="Of a text and its answer together."
)
@click.option("--keyed", is_flag=True, help="Texts come under keys, and replace each other by them.")
@click.option("--answers", callback=_amount, default="1000", show_default=True, help="Different ones.")
@click.option(
    "--replicas",
    type=click.IntRange(1, 100),
    default=2,
    show_default=True,
    help="Of what answers, and copies of each Redis. 2 outlive one machine.",
)
@click.option(
    "--machine-cores",
    type=click.IntRange(1, 10_000),
    default=16,
    show_default=True,
    help="Cores of one machine.",
)
@click.option(
    "--machine-gib",
    type=click.IntRange(1, 100_000),
    default=64,
    show_default=True,
    help="Memory of one machine, in GiB.",
)
@click.option("--price-core", type=_POSITIVE, help="Of a core for an hour, in any currency.")
@click.option("--price-gib", type=_POSITIVE, help="Of a GiB of memory for an hour.")
@click.option("--figures", is_flag=True, help="List what was measured, by which command, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON objects.")
def plan(**chosen: Any) -> None:
    """Say what a load needs: machines, memory, partitions.

    Everything comes from figures that were measured, most of them on two busy cores, by a model that
    `make bench ONLY=plan` compares with what is measured at other sizes. Each number has its spread in
    parentheses: all figures at their least, and all at their most. It asks no server.

    Exit code 1: the p99 that is wanted can't be kept.
    """
    if chosen["figures"]:
        _figures(chosen["as_json"])
        return
    planned = _planned(chosen)
    (_as_json if chosen["as_json"] else _shown)(planned)
    raise SystemExit(NOT_WELL if planned.plan.missing else DONE)


def _planned(chosen: dict[str, Any]) -> Planned:
    from hurnet_stream.operations.planning.figures import embedders
    from hurnet_stream.operations.planning.planning import plan as make
    from hurnet_stream.operations.planning.shapes import Load, Machine

    embedder = "" if chosen["embed_us"] is not None else chosen["embedder"]
    if embedder and embedder not in embedders():
        known = ", ".join(embedders())
        raise click.UsageError(f"{embedder!r} was not measured: give --embed-us, or one of {known}")
    if (chosen["price_core"] is None) != (chosen["price_gib"] is None):
        raise click.UsageError("Give both --price-core and --price-gib, or neither.")
    load = Load(
        rows=int(chosen["rows"]),
        dimensions=chosen["dimensions"],
        texts_s=chosen["texts_per_second"],
        questions_s=chosen["questions_per_second"],
        embed_us=chosen["embed_us"] or 0.0,
        text_bytes=chosen["text_bytes"],
        keyed=chosen["keyed"],
        answers=int(chosen["answers"]),
        replicas=chosen["replicas"],
        p99_ms=chosen["p99"],
        fill_hours=chosen["fill_hours"] or math.inf,
    )
    machine = Machine(
        chosen["machine_cores"], chosen["machine_gib"], chosen["price_core"], chosen["price_gib"]
    )
    return make(load, machine, embedder)


def _shown(planned: Planned) -> None:
    from hurnet_stream.terminal.screen import console, say, table

    plan = planned.plan
    load = plan.load
    title = (
        f"{load.rows:,} rows of {load.dimensions:,} dimensions,"
        f" {load.texts_s:g} texts and {load.questions_s:g} questions a second"
    )
    out = console()
    columns = ("", ">processes", ">busy cores", ">GiB each", ">disk, GiB")
    rows = [_row(planned, number) for number in range(len(plan.parts))]
    out.print(table(columns, rows, title))
    for line in _lines(planned):
        say(line)
    steps = [(step.name, _taken(step, plan), _begins(step), step.why) for step in planned.steps]
    out.print(table(("step", "taken", "needed from", "because"), steps, "what one grows by, in this order"))
    for missing in plan.missing:
        say(f"can't be kept: {missing}")


def _row(planned: Planned, number: int) -> tuple[str, ...]:
    def spread(of: Callable[[Part], float], digits: int = 1) -> str:
        return _ranged(planned.spread(lambda plan: of(plan.parts[number])), digits)

    part = planned.plan.parts[number]
    processes = spread(lambda each: each.processes, 0) if part.processes else ""
    memory = spread(lambda each: each.bytes_each / (1 << 30)) if part.processes else ""
    cores = spread(lambda each: each.cores) if part.processes else ""
    disk = spread(lambda each: each.disk_bytes / (1 << 30), 0) if part.disk_bytes else ""
    return part.name, processes, cores, memory, disk


def _lines(planned: Planned) -> list[str]:
    def spread(of: Callable[[Plan], float], digits: int = 0) -> str:
        return _ranged(planned.spread(of), digits)

    plan, shape = planned.plan, planned.plan.shape
    answering = f"{shape.slices} slices" if shape.slices > 1 else "responders with everything"
    said = [
        f"machines: {spread(lambda each: each.machines)};"
        f" cores that are busy: {spread(lambda each: each.cores, 1)};"
        f" memory: {spread(lambda each: each.memory_bytes / (1 << 30))} GiB",
        f"a question: p50 {spread(lambda each: each.asked.p50_ms)} ms,"
        f" p99 {spread(lambda each: each.asked.p99_ms)} ms, by {answering}"
        + (", rows in tiers" if shape.tiers else ""),
        f"partitions of `texts` and `queries`: {plan.partitions} at least",
        f"a first fill of all rows by these processes: {_fill_time(planned)}",
    ]
    if plan.cost_an_hour is not None:
        said.append(f"cost an hour: {spread(lambda each: each.cost_an_hour or 0.0, 2)}")
    return said


def _fill_time(planned: Planned) -> str:
    """In hours, or in minutes if it takes no hour."""
    hours = planned.spread(lambda each: each.fill_hours)
    if hours[0] >= 1:
        return f"{_ranged(hours, 1)} hours"
    value, least, most = (60 * each for each in hours)
    return f"{_ranged((value, least, most), 1)} minutes"


def _ranged(spread: tuple[float, float, float], digits: int) -> str:
    value, least, most = (_number(number, digits) for number in spread)
    return value if least == most else f"{value} ({least} to {most})"


def _number(number: float, digits: int) -> str:
    return "never" if math.isinf(number) else f"{number:,.{digits}f}"


def _taken(step: Step, plan: Plan) -> str:
    """A step that is not needed yet may be taken all the same."""
    if not step.taken:
        return "no"
    is_needed = plan.load.rows >= step.rows or plan.load.texts_s >= step.texts_s
    return "yes" if is_needed else "yes, for fewer machines"


def _begins(step: Step) -> str:
    limits = (step.rows, "rows"), (step.texts_s, "texts a second")
    return " or ".join(f"{_about(limit)} {unit}" for limit, unit in limits if not math.isinf(limit))


def _about(number: float) -> str:
    """In two digits: more would pretend to be exact."""
    return f"{float(f'{number:.2g}'):,.0f}"


def _as_json(planned: Planned) -> None:
    from dataclasses import asdict

    from hurnet_stream.terminal.screen import say_json

    plans = {"plan": planned.plan, "least": planned.least, "most": planned.most}
    said: dict[str, Any] = {
        name: asdict(plan)
        | {"cores": plan.cores, "memory_bytes": plan.memory_bytes, "disk_bytes": plan.disk_bytes}
        for name, plan in plans.items()
    }
    said["steps"] = [asdict(step) for step in planned.steps]
    say_json(_finite(said))


def _finite(value: Any) -> Any:
    """JSON has no infinity: null stands for never."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and math.isinf(value) else value


def _figures(as_json: bool) -> None:
    from dataclasses import asdict

    from hurnet_stream.operations.planning.figures import figures
    from hurnet_stream.terminal.screen import console, say_json, table

    if as_json:
        for figure in figures():
            say_json(asdict(figure))
        return
    rows = [
        (each.name, f"{each.value:g}", f"{each.low:g} to {each.high:g}", each.what, each.by)
        for each in figures()
    ]
    console().print(table(("figure", ">", ">spread", "what it is", "measured by"), rows))
