"""Writes the dashboards as JSON, which Grafana reads: python -m deploy.dashboards.make"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as models

from deploy.dashboards import answers, ingest, service, store

FOLDER = Path(__file__).parents[1] / "grafana" / "provisioning" / "dashboards"
BOARDS: dict[str, Callable[[], Dashboard]] = {
    "service": service.dashboard,
    "ingest": ingest.dashboard,
    "answers": answers.dashboard,
    "store": store.dashboard,
}


def document(name: str) -> str:
    """The JSON of a dashboard as it stands in the repository, with the defaults that reading it adds."""
    register_default_plugins()  # the types of panels and of Prometheus' queries
    encoder = JSONEncoder(sort_keys=True, indent=1, ensure_ascii=False)
    made = models.Dashboard.from_json(json.loads(encoder.encode(BOARDS[name]().build())))
    for number, panel in enumerate(made.panels or (), 1):
        panel.id_val = number
    return encoder.encode(made) + "\n"


def panels(name: str) -> list[dict[str, Any]]:
    """The panels of a dashboard with what they draw, without rows that are only headings."""
    return [panel for panel in json.loads(document(name))["panels"] if panel["type"] != "row"]


def main() -> None:
    """Write all of them."""
    for name in BOARDS:
        (FOLDER / f"{name}.json").write_text(document(name), "utf-8")


if __name__ == "__main__":
    main()
