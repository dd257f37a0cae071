"""What dashboards take from the rules: alerts, as links to their runbooks and dashboards, and limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy.dashboards.panels import RUNBOOKS

RULES = Path(__file__).parents[1] / "prometheus" / "rules.yml"


def rules() -> Iterator[dict[str, Any]]:
    """All rules, of every group."""
    for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]:
        yield from group["rules"]


def alerts() -> Iterator[dict[str, Any]]:
    """Every alerting rule. One alert may have several, with a `cause` each."""
    return (rule for rule in rules() if "alert" in rule)


def limit_s(name: str) -> float:
    """How long something may take, or be silent, in seconds: the `limit` of that name."""
    return _number("hurnet:limit:seconds", {"limit": name}, r"vector\(([\d.]+)\)")


def good_within_s(promise: str) -> float:
    """What the promise calls good, in seconds: fresh, or quick."""
    return _number("hurnet:slo_good_events:total", {"slo": promise}, r'le="([\d.]+)"')


def _number(record: str, labels: dict[str, str], where: str) -> float:
    """The number that the expression of a recording rule holds."""
    (rule,) = (each for each in rules() if each.get("record") == record and each.get("labels") == labels)
    return float(re.findall(where, rule["expr"])[0])


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
