"""The kinds of panels, drawn by matplotlib: lines, figures, tables, heat maps, text."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, MultipleLocator

Series = Mapping[str, str]
Range = list[tuple[Series, list[tuple[float, float]]]]

COLOURS = {
    "green": "#56a64b", "dark-red": "#ad0317", "red": "#e02f44", "orange": "#ff780a", "yellow": "#f2cc0c",
    "blue": "#3274d9", "purple": "#a352cc",
}  # fmt: skip
PALETTE = ("#3274d9", "#56a64b", "#ff780a", "#a352cc", "#e02f44", "#1f9e9e", "#b07c00", "#777777")
TIME_STEPS_S = (5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 21_600, 86_400)
INK, FAINT, PAPER = "#24292e", "#d8d9da", "#f4f5f5"


@dataclass(frozen=True, slots=True)
class Source:
    """Where values come from: `now` is of this moment, `lately` over the time that is drawn, which begins and
    ends at these seconds since 1970."""

    now: Callable[[str], list[tuple[Series, float]]]
    lately: Callable[[str], Range]
    begin_s: float
    end_s: float


def draw(figure: Figure, panel: dict[str, Any], rows: int, source: Source) -> None:
    """One panel, at its place of a grid of 24 columns and this many rows."""
    at = panel["gridPos"]
    x, y, w, h = at["x"] / 24, 1 - (at["y"] + at["h"]) / rows, at["w"] / 24, at["h"] / rows
    if panel["type"] == "row":
        figure.text(0.004, y + h / 3, panel["title"], size=11, weight="bold", color=COLOURS["blue"])
        return
    card = figure.add_axes((x + 0.003, y + 0.003, w - 0.006, h - 0.006), facecolor="white")
    card.set_xticks([])
    card.set_yticks([])
    for side in card.spines.values():
        side.set_color(FAINT)
    left = panel["type"] != "stat"
    _write(
        card,
        0.02 if left else 0.5,
        0.96,
        panel["title"],
        ha="left" if left else "center",
        weight="bold",
        size=9,
    )
    kinds = {"timeseries": _lines, "stat": _figures, "table": _table, "text": _words, "heatmap": _heat}
    kinds[panel["type"]](figure, card, panel, source)


def _write(card: Axes, x: float, y: float, words: str, **how: Any) -> None:
    """Words at a place of a card, in shares of its width and height."""
    card.text(x, y, words, transform=card.transAxes, **{"va": "top", "size": 7.5, **how})


def _box(card: Axes, corner: tuple[float, float], width: float, height: float, colour: str) -> None:
    card.add_patch(Rectangle(corner, width, height, transform=card.transAxes, color=colour))


def _inner(figure: Figure, card: Axes, left: float = 0.11, bottom: float = 0.24) -> Axes:
    """The area to draw in, below the title of a card."""
    box = card.get_position()
    return figure.add_axes(
        (box.x0 + left * box.width, box.y0 + bottom * box.height, (0.97 - left) * box.width,
         (0.86 - bottom) * box.height)
    )  # fmt: skip


def _lines(figure: Figure, card: Axes, panel: dict[str, Any], source: Source) -> None:
    axes = _inner(figure, card)
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    named = [
        (_legend(target, series), points)
        for target in panel["targets"]
        for series, points in source.lately(target["expr"])
    ]
    colours = _colours(panel, [name for name, _ in named])
    if custom.get("stacking", {}).get("mode") == "normal" and named:
        times = sorted({at for _, points in named for at, _ in points})
        heights = [[dict(points).get(at, 0.0) for at in times] for _, points in named]
        axes.stackplot(times, heights, colors=[colours[name] for name, _ in named], alpha=0.75,
                       labels=[name for name, _ in named], step="post")  # fmt: skip
    else:
        for name, points in named:
            finite = [(at, value if math.isfinite(value) else math.nan) for at, value in points]
            axes.plot(*zip(*finite, strict=True), color=colours[name], linewidth=1.3, label=name)
    _limits(axes, panel)
    _axes(axes, panel, [value for _, points in named for _, value in points])
    _times(axes, source)
    if named:
        _named(axes, panel["gridPos"]["w"], [name for name, _ in named])


def _named(axes: Axes, grid_columns: int, names: Sequence[str]) -> None:
    """The legend, in as many columns as fit below the axes."""
    fit = max(1, int(11 * grid_columns / (5 + max(map(len, names)))))
    axes.legend(
        loc="upper left", bbox_to_anchor=(-0.07, -0.1), ncols=fit, frameon=False, fontsize=7,
        handlelength=1, columnspacing=1,
    )  # fmt: skip


def _limits(axes: Axes, panel: dict[str, Any]) -> None:
    """Lines where a value becomes orange or red, if they are near to what is drawn."""
    highest = axes.get_ylim()[1]
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]:
        if step["value"] <= 8 * highest and "thresholdsStyle" in panel["fieldConfig"]["defaults"]["custom"]:
            axes.axhline(step["value"], color=COLOURS[step["color"]], linestyle="--", linewidth=1)


def _axes(axes: Axes, panel: dict[str, Any], values: Sequence[float]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    axes.set_facecolor("white")
    axes.grid(color=FAINT, linewidth=0.5)
    axes.tick_params(length=0, labelsize=7)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(lambda value, _: shown(value, defaults["unit"]))
    if "min" in defaults:
        top = axes.get_ylim()[1] if any(value > defaults["min"] for value in values) else 1
        axes.set_ylim(defaults["min"], defaults.get("max", top))
    if not values:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", color="#999999")


def _times(axes: Axes, source: Source) -> None:
    """All panels have the same time, marked at whole minutes, or seconds if it is short."""
    wanted = (source.end_s - source.begin_s) / 5
    step = next((step for step in TIME_STEPS_S if step >= wanted), TIME_STEPS_S[-1])
    axes.set_xlim(source.begin_s, source.end_s)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    form = "%H:%M" if step >= 60 else "%H:%M:%S"
    axes.xaxis.set_major_formatter(lambda at, _: time.strftime(form, time.gmtime(at)))


def _figures(_figure: Figure, card: Axes, panel: dict[str, Any], source: Source) -> None:
    found = [
        (_legend(target, series), value)
        for target in panel["targets"]
        for series, value in source.now(target["expr"])
    ] or [("no data", math.nan)]
    defaults, width = panel["fieldConfig"]["defaults"], 0.98 / len(found)
    zero = defaults.get("mappings", [{"options": {}}])[0]["options"].get("0", {})
    for at, (name, value) in enumerate(found):
        _box(card, (0.014 + at * width, 0.04), width - 0.008, 0.74, _colour(panel, value))
        said = zero["text"] if value == 0 and zero else shown(value, defaults["unit"])
        centre = 0.01 + (at + 0.5) * width
        how = {"ha": "center", "va": "center", "color": "white"}
        _write(card, centre, 0.47, said, size=15, weight="bold", **how)
        _write(card, centre, 0.16, name, size=8, **how)


def _table(_figure: Figure, card: Axes, panel: dict[str, Any], source: Source) -> None:
    organise = panel["transformations"][-1]["options"]
    names = sorted(organise["indexByName"], key=organise["indexByName"].__getitem__)
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    labels = [name for name in names if not name.startswith("Value")]
    for target in panel["targets"]:
        for series, value in source.now(target["expr"]):
            key = tuple(series.get(label, "") for label in labels)
            row = rows.setdefault(key, dict(zip(labels, key, strict=True)))
            row[f"Value #{target['refId']}"] = value
    _cells(card, panel, [organise["renameByName"][name] for name in names],
           [[row.get(name, "") for name in names] for _, row in sorted(rows.items())])  # fmt: skip


def _cells(card: Axes, panel: dict[str, Any], heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    height = min(0.11, 0.78 / (len(rows) + 1))
    for (x, width), column in zip(_columns(heads, rows), range(len(heads)), strict=True):
        _write(card, x, 0.84, heads[column], color=COLOURS["blue"])
        for number, row in enumerate(rows):
            value, middle = row[column], 0.84 - (number + 1.45) * height
            is_value = isinstance(value, float)
            if is_value:
                corner = (x - 0.008, middle - 0.46 * height)
                _box(card, corner, width - 0.006, 0.9 * height, _colour(panel, value))
            said = shown(value, "none") if is_value else str(value)
            _write(card, x, middle, said, color="white" if is_value else INK, va="center")
    if not rows:
        _write(card, 0.5, 0.5, "none", ha="center", color=COLOURS["green"], size=12)


def _columns(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[tuple[float, float]]:
    """Where each column begins and how wide it is: as its longest text needs."""
    cells = [[head, *(row[at] for row in rows)] for at, head in enumerate(heads)]
    needed = [3 + max(len(str(cell)) for cell in column) for column in cells]
    widths = [0.97 * each / sum(needed) for each in needed]
    return [(0.02 + sum(widths[:at]), width) for at, width in enumerate(widths)]


def _words(_figure: Figure, card: Axes, panel: dict[str, Any], _source: Source) -> None:
    names = [line.split("]")[0].removeprefix("- [") for line in panel["options"]["content"].splitlines()]
    for number, name in enumerate(names):
        column, row = divmod(number, math.ceil(len(names) / 2))
        _write(card, 0.03 + 0.5 * column, 0.84 - 0.095 * row, name, color="#3274d9")


def _heat(figure: Figure, card: Axes, panel: dict[str, Any], source: Source) -> None:
    axes = _inner(figure, card)
    found = sorted(
        (
            (float(series["le"]), dict(points))
            for series, points in source.lately(panel["targets"][0]["expr"])
        ),
        key=lambda bucket: bucket[0],
    )
    times = sorted({at for _, points in found for at in points})
    counts = [[points.get(at, 0.0) for at in times] for _, points in found]
    own = [counts[0]] if counts else []
    own += [[b - a for a, b in zip(low, high, strict=True)] for low, high in itertools.pairwise(counts)]
    if own and times:
        axes.pcolormesh(times, range(len(own)), own, cmap="Oranges", shading="nearest")
        axes.set_yticks(
            range(len(found))[::2],
            [shown(edge, panel["fieldConfig"]["defaults"]["unit"]) for edge, _ in found][::2],
        )
    axes.tick_params(length=0, labelsize=7)
    _times(axes, source)


def _legend(target: Mapping[str, Any], series: Series) -> str:
    """What a series is called: `{{label}}` in the legend becomes its value."""
    return re.sub(
        r"{{(\w+)}}", lambda found: series.get(found[1], ""), target.get("legendFormat", "")
    ).strip()


def _colours(panel: dict[str, Any], names: Sequence[str]) -> dict[str, str]:
    fixed = {
        override["matcher"]["options"]: COLOURS[override["properties"][0]["value"]["fixedColor"]]
        for override in panel["fieldConfig"]["overrides"]
        if override["properties"][0]["id"] == "color"
    }
    others = [name for name in dict.fromkeys(names) if name not in fixed]
    return fixed | {name: PALETTE[at % len(PALETTE)] for at, name in enumerate(others)}


def _colour(panel: dict[str, Any], value: float) -> str:
    """That of the limits that a value has passed."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    if math.isnan(value):
        return "#999999"
    return COLOURS[[step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]]


def shown(value: float, unit: str) -> str:
    """A value with its unit, in few digits."""
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "∞"
    if unit == "percentunit":
        return f"{100 * value:,.0f} %"
    if unit in ("bytes", "Bps"):
        power = min(4, int(math.log(value, 1024))) if value >= 1 else 0
        return f"{value / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}{'/s' * (unit == 'Bps')}"
    number = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2g}"
    return f"{number}{ {'s': ' s', 'reqps': '/s', 'cps': '/s', 'ops': '/s'}.get(unit, '') }"
