"""Draws a dashboard as a picture, from a Prometheus: what an operator would see in Grafana.

    python -m deploy.dashboards.render service http://127.0.0.1:9090 30 service.png

The last number is how many minutes are drawn. Grafana draws more beautifully; this shows whether the panels
say something, and makes the picture in the README. Needs matplotlib (the extra `dev`).
"""

from __future__ import annotations

import json
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from deploy.dashboards.drawing import FAINT, INK, PAPER, Range, Series, Source, draw
from deploy.dashboards.make import document

COLUMN, ROW = 0.62, 0.36
"""Inches of one column and one row of Grafana's grid."""


def concrete(expression: str, interval: str = "1m") -> str:
    """An expression as Grafana sends it."""
    return expression.replace("$__rate_interval", interval)


def prometheus(url: str, minutes: float, interval: str = "1m") -> Source:
    """A Prometheus by its address. What is drawn ends now."""
    end = time.time()
    begin = end - 60 * minutes

    def ask(path: str, **parameters: Any) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=30) as response:  # noqa: S310
            return json.load(response)["data"]["result"]

    def now(expression: str) -> list[tuple[Series, float]]:
        found = ask("query", query=concrete(expression, interval))
        return [(series["metric"], float(series["value"][1])) for series in found]

    def lately(expression: str) -> Range:
        span = {"start": begin, "end": end, "step": max(1.0, (end - begin) / 240)}
        found = ask("query_range", query=concrete(expression, interval), **span)
        return [
            (series["metric"], [(float(at), float(value)) for at, value in series["values"]])
            for series in found
        ]

    return Source(now, lately, begin, end)


def picture(name: str, source: Source, path: Path, dpi: int = 100) -> None:
    """Draw the dashboard `name` into `path`. The suffix says whether it is PNG or SVG."""
    every = json.loads(document(name))["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in every)
    mpl.rcParams.update({"font.size": 8, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": FAINT})
    figure = Figure(figsize=(24 * COLUMN, rows * ROW), facecolor=PAPER, dpi=dpi)
    for panel in every:
        draw(figure, panel, rows, source)
    figure.savefig(path)
    if path.suffix == ".png":  # in a palette: a third of the bytes
        with Image.open(path) as image:
            image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, kmeans=2).save(path, optimize=True)


def main() -> None:
    """The command line."""
    name, url, minutes, path = sys.argv[1:]
    picture(name, prometheus(url, float(minutes)), Path(path))


if __name__ == "__main__":
    main()
