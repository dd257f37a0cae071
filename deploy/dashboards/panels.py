"""What all panels have in common, over the builders of Grafana's foundation SDK.

A panel says its title, what is normal in plain words, its unit, its queries, from where on something is
wrong, and which alert's runbook helps:

    lines(
        "Dead letters a second", "Normal is none.", Look("cps", limits=above(0.1, 1)),
        Query("sum by (reason) (rate(hurnet_dead_letters_total[$__rate_interval]))", "{{reason}}"),
        runbook="HurnetDeadLetters",
    )
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from grafana_foundation_sdk.builders import common, heatmap, prometheus, stat, table, text, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models import prometheus as prometheus_models
from grafana_foundation_sdk.models import text as text_models

GREEN, ORANGE, RED = "green", "orange", "red"
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
RUNBOOKS = "${runbooks}"
"""A variable of each dashboard: where docs/runbooks.md is served."""
_P = TypeVar("_P")
WIDTH, HEIGHT = 8, 8
"""A third of the grid's 24 columns."""


@dataclass(frozen=True, slots=True)
class Query:
    """An expression in PromQL, and what each of its series is called."""

    expr: str
    legend: str = ""
    exemplar: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a value is orange or red. With `low`, what is below is bad."""

    orange: float | None = None
    red: float | None = None
    low: bool = False

    def steps(self) -> list[models.Threshold]:
        """Colours from the lowest value up. The first one begins at minus infinity."""
        if self.low:
            edges = [(None, RED), (self.red, ORANGE), (self.orange, GREEN)]
            if self.orange is None:
                edges = [(None, RED), (self.red, GREEN)]
        else:
            edges = [(None, GREEN), (self.orange, ORANGE), (self.red, RED)]
        found = [(edge, colour) for at, (edge, colour) in enumerate(edges) if at == 0 or edge is not None]
        return [models.Threshold(value=edge, color=colour) for edge, colour in found]


def above(orange: float | None, red: float | None = None) -> Limits:
    """Wrong if it is above."""
    return Limits(orange, red)


def below(orange: float | None, red: float) -> Limits:
    """Wrong if it is below."""
    return Limits(orange, red, low=True)


@dataclass(frozen=True, slots=True)
class Look:
    """Unit, limits and size of a panel. `colours` fixes those of series by name. `lowest` and `highest`
    bound the axis."""

    unit: str
    limits: Limits = Limits()
    width: int = WIDTH
    height: int = HEIGHT
    stacked: bool = False
    colours: tuple[tuple[str, str], ...] = ()
    lowest: float | None = 0
    highest: float | None = None
    decimals: int | None = None


def lines(title: str, description: str, look: Look, *queries: Query, runbook: str = "") -> timeseries.Panel:
    """Values over time. Limits are drawn as dashed lines."""
    panel = _common(timeseries.Panel(), title, description, look, queries, runbook)
    panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(common_models.LegendDisplayMode.LIST)
        .placement(common_models.LegendPlacement.BOTTOM)
    )
    panel.tooltip(
        common.VizTooltipOptions()
        .mode(common_models.TooltipDisplayMode.MULTI)
        .sort(common_models.SortOrder.DESCENDING)
    )
    panel.line_width(1).show_points(common_models.VisibilityMode.NEVER).fill_opacity(10)
    if look.limits != Limits():
        panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED)
        )
    if look.stacked:
        panel.fill_opacity(60).stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    _scaled(panel, look)
    return panel


def figures(
    title: str, description: str, look: Look, *queries: Query, zero: str = "", runbook: str = ""
) -> stat.Panel:
    """The last values, large, on the colour of their limits. `zero` is what to say instead of 0."""
    panel = _common(stat.Panel(), title, description, look, queries, runbook)
    panel.color_mode(common_models.BigValueColorMode.BACKGROUND)
    panel.graph_mode(common_models.BigValueGraphMode.NONE)
    panel.justify_mode(common_models.BigValueJustifyMode.CENTER)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.no_value("no data")
    if zero:
        said = models.ValueMappingResult(text=zero, color=GREEN)
        panel.mappings([models.ValueMap(options={"0": said})])
    return panel


def heat(title: str, description: str, look: Look, buckets: str, runbook: str = "") -> heatmap.Panel:
    """The buckets of a histogram over time: the stronger the colour, the more."""
    panel = _common(heatmap.Panel(), title, description, look, [], runbook)
    panel.with_target(_target(Query(buckets, "{{le}}"), 0).format(prometheus_models.PromQueryFormat.HEATMAP))
    panel.calculate(False)
    panel.y_axis(heatmap.YAxisConfig().unit(look.unit))
    panel.color(
        heatmap.HeatmapColorOptions().mode(heatmap_models.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    )
    return panel


def rows_of(
    title: str,
    description: str,
    look: Look,
    *queries: Query,
    columns: Sequence[tuple[str, str]],
    runbook: str = "",
) -> table.Panel:
    """A table of the labels of now, and of the values if there are several queries, merged by their labels.
    `columns` are (label or "Value #A", heading) in their order; others are hidden."""
    panel = _common(table.Panel(), title, description, look, [], runbook)
    for at, query in enumerate(queries):
        panel.with_target(_target(query, at).instant().format(prometheus_models.PromQueryFormat.TABLE))
    panel.show_header(True)
    if len(queries) > 1:
        panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    names = [name for name, _ in columns]
    ordered = {
        "includeByName": dict.fromkeys(names, True),
        "indexByName": {name: at for at, name in enumerate(names)},
        "renameByName": {name: heading for name, (_, heading) in zip(names, columns, strict=True)},
    }
    panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=ordered))
    coloured = [models.DynamicConfigValue("custom.cellOptions", {"type": "color-background"})]
    for name, heading in columns:
        if name.startswith("Value"):
            panel.override_by_name(heading, coloured)
    return panel


def words(title: str, description: str, markdown: str, look: Look) -> text.Panel:
    """Text in Markdown."""
    panel = text.Panel().title(title).description(description).span(look.width).height(look.height)
    return panel.mode(text_models.TextMode.MARKDOWN).content(markdown)


def quantiles(
    metric: str, by: str = "", where: str = "", legend: str = "", exemplar: bool = False
) -> list[Query]:
    """The median of a histogram, and what 99 of 100 stay below."""
    buckets = f"sum by (le{by and ', ' + by}) (rate({metric}_bucket{where}[$__rate_interval]))"
    name = f"{legend} " if legend else ""
    return [
        Query(f"histogram_quantile({share}, {buckets})", f"{name}{label}", exemplar)
        for share, label in ((0.5, "p50"), (0.99, "p99"))
    ]


def or_none(expr: str, label: str, value: float = 0, none: str = "none") -> str:
    """`value` for "none" while nothing has that label: a counter with labels is not there before it counts
    something."""
    return f'{expr} or on () label_replace(vector({value}), "{label}", "{none}", "", "")'


def phases(where: str) -> Query:
    """Seconds of each second that a role spends in each phase of its turns."""
    return Query(f"sum by (phase) (rate(hurnet_turn_seconds_sum{where}[$__rate_interval]))", "{{phase}}")


def p99(metric: str, by: str, where: str = "") -> str:
    """What 99 of 100 stay below."""
    return f"histogram_quantile(0.99, sum by (le, {by}) (rate({metric}_bucket{where}[$__rate_interval])))"


def dashboard(uid: str, title: str, description: str) -> build.Dashboard:
    """An empty dashboard with what all have: variables, links to the others, the times of alerts."""
    links: list[Builder[models.DashboardLink]] = [
        build.DashboardLink(name).type(models.DashboardLinkType.LINK).url(f"/d/{other}").keep_time(True)
        for other, name in (
            ("hurnet-service", "Service"),
            ("hurnet-ingest", "Ingest"),
            ("hurnet-answers", "Answers"),
            ("hurnet-store", "Store and solver"),
        )
        if other != uid
    ]
    return (
        build.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["hurnet"])
        .links(links)
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(build.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(
            build.TextBoxVariable("runbooks").label("Runbooks at").default_value("docs/runbooks.md")
        )
        .annotation(_alerts())
    )


def _alerts() -> build.AnnotationQuery:
    return (
        build.AnnotationQuery()
        .name("Alerts")
        .datasource(SOURCE)
        .enable(True)
        .icon_color(RED)
        .expr('ALERTS{alertname=~"Hurnet.+", alertstate="firing"}')
    )


def _common(
    panel: _P, title: str, description: str, look: Look, queries: Sequence[Query], runbook: str
) -> _P:
    made: Any = panel  # the builders have these methods in common, and no base class that says so
    made.title(title).description(description).datasource(SOURCE).span(look.width).height(look.height)
    made.unit(look.unit)
    steps = look.limits.steps()
    made.thresholds(build.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    for at, query in enumerate(queries):
        made.with_target(_target(query, at))
    for name, colour in look.colours:
        fixed = models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})
        made.override_by_name(name, [fixed])
    if look.decimals is not None:
        made.decimals(look.decimals)
    if runbook:
        made.links([_runbook(runbook)])
    return panel


def _scaled(panel: timeseries.Panel, look: Look) -> None:
    if look.lowest is not None:
        panel.min(look.lowest)
    if look.highest is not None:
        panel.max(look.highest)


def _target(query: Query, at: int) -> prometheus.Dataquery:
    made = prometheus.Dataquery().ref_id(chr(ord("A") + at)).datasource(SOURCE).expr(query.expr)
    made.legend_format(query.legend or "__auto")
    return made.exemplar(True) if query.exemplar else made


def _runbook(alert: str) -> build.DashboardLink:
    return (
        build.DashboardLink(f"Runbook: {alert}")
        .type(models.DashboardLinkType.LINK)
        .url(f"{RUNBOOKS}#{alert.lower()}")
        .target_blank(True)
    )
