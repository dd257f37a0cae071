"""`hurnet doctor`: where the path from a question to its answer is broken."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.exit_codes import BROKEN_PART, DONE

if TYPE_CHECKING:
    from hurnet_stream.operations.diagnosis import Check, Group, Report
    from hurnet_stream.settings.settings import Settings

EPILOG = """\b
Examples:
  hurnet doctor
  hurnet doctor --json | jq -r '.broken, .advice'
"""
MARKS = {True: "well", False: "broken", None: "not known"}


@click.command(epilog=EPILOG)
@click.option(
    "--timeout",
    type=click.FloatRange(0.5, 60),
    default=5.0,
    show_default=True,
    help="Longest time in seconds for each wait. There are four at most.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(timeout: float, as_json: bool) -> None:
    """Find the part that is broken.

    Sends a question, and a text with a question that insists on it, as any client may, and says which part to
    look at first. The text is in the context HURNET_CANARY_CONTEXT and is deleted again.

    Exit code 0: all is well. 10: Kafka can't be reached. 11: answers can't be read. 12: questions can't be
    sent. 13: no responder answers. 14: the store is away, or responders don't follow it. 15: ingest takes no
    texts in. 16: texts can't be sent.
    """
    from hurnet_stream.adapters.kafka.courier import KafkaCourier
    from hurnet_stream.operations.doctor import Doctor
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.screen import hush, say_json

    hush()
    chosen = settings.load()
    with closing(KafkaCourier(chosen.kafka, chosen.kafka.answers)) as courier:
        walk = Doctor(courier, chosen.kafka, chosen.canary.context, lambda: _groups(chosen), timeout)
        report = walk.examine()
    if as_json:
        say_json(as_dict(report))
    else:
        show(report)
    sys.exit(BROKEN_PART[report.broken.part] if report.broken else DONE)


def _groups(chosen: Settings) -> Mapping[str, Group]:
    """The consumer groups, by role. Raises `HurnetError` if we may not see them."""
    from hurnet_stream.adapters.kafka.admin.overview import Overview
    from hurnet_stream.operations.diagnosis import Group
    from hurnet_stream.overview.running import read_by

    read = {role: read_by(chosen)[role] for role in ("ingest", "responder")}
    roles = {group: role for role, (group, _) in read.items()}
    with closing(Overview(chosen.kafka)) as overview:
        found = overview.groups(dict(read.values()))
    return {roles[each.name]: Group(len(each.members), each.committed) for each in found}


def as_dict(report: Report) -> dict[str, Any]:
    """As a JSON object."""

    def told(check: Check) -> dict[str, Any]:
        seconds = None if check.seconds is None else round(check.seconds, 4)
        return {
            "part": check.part,
            "edge": check.edge,
            "well": check.well,
            "said": check.said,
            "seconds": seconds,
        }

    return {
        "well": report.broken is None,
        "broken": report.broken.part if report.broken else None,
        "advice": report.advice,
        "checks": [told(check) for check in report.checks],
    }


def show(report: Report) -> None:
    """For a person: every edge, then the first broken one and what to do."""
    from hurnet_stream.terminal.screen import console, say, table

    rows = [
        (c.edge, MARKS[c.well], "" if c.seconds is None else f"{c.seconds * 1e3:,.0f}", c.said)
        for c in report.checks
    ]
    console().print(table(("edge", "state", ">ms", "what was seen"), rows))
    if broken := report.broken:
        say(f"broken: {broken.edge}: {broken.said}\nwhat to do: {report.advice}")
    else:
        say("all is well")
