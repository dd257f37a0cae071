"""The alerts of the rules, as links to their runbooks and dashboards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy.dashboards.panels import RUNBOOKS

RULES = Path(__file__).parents[1] / "prometheus" / "rules.yml"


def alerts() -> Iterator[dict[str, Any]]:
    """Every alerting rule. One alert may have several, with a `cause` each."""
    for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]:
        yield from (rule for rule in group["rules"] if "alert" in rule)


def dashboards_of() -> dict[str, list[str]]:
    """The dashboards that the rules of each alert name, by their uids."""
    found: dict[str, list[str]] = {}
    for rule in alerts():
        uid = re.findall(r"/d/([\w-]+)", rule["annotations"]["dashboard_url"])[0]
        named = found.setdefault(rule["alert"], [])
        named += [uid] if uid not in named else []
    return found


def markdown() -> str:
    """A list: alert, its runbook, its dashboards."""
    return "\n".join(
        f"- [{alert}]({RUNBOOKS}#{alert.lower()}): "
        + ", ".join(f"[{uid.removeprefix('hurnet-')}](/d/{uid})" for uid in uids)
        for alert, uids in dashboards_of().items()
    )
