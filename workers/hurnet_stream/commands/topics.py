"""`hurnet topics`: whether the topics are there, and as they should be."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from hurnet_stream.exit_codes import NOT_WELL

if TYPE_CHECKING:
    from hurnet_stream.adapters.kafka.admin.check import TopicFinding


EPILOG = """\b
Examples:
  hurnet topics
  HURNET_KAFKA_PARTITIONS=12 HURNET_KAFKA_REPLICATION=3 hurnet topics --create
"""


@click.command(epilog=EPILOG)
@click.option("--create", is_flag=True, help="Create the topics that are missing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, one for each topic.")
def topics(create: bool, as_json: bool) -> None:
    """Check the topics, or create them.

    The names are those of the settings HURNET_KAFKA_TEXTS, _QUERIES, _ANSWERS, _FEEDBACK,
    _DEAD_LETTERS, _CANARY_ANSWERS and _AUDIT, if there is one. Topics that have a table of their own
    ([topics.NAME]) are somebody else's: they are looked at, and never created.
    Exit code 1: a topic is missing or wrong.
    """
    from hurnet_stream.adapters.kafka.admin.check import ensure_topics
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.screen import console, hush, say_json, table

    hush()
    chosen = settings.load()
    findings = ensure_topics(chosen.kafka, create, others=list(chosen.topics))
    if as_json:
        for finding in findings:
            say_json(asdict(finding))
    else:
        rows = ((f.name, f.partitions, state(f)) for f in findings)
        console().print(table(("topic", ">partitions", "state"), rows))
    if any(finding.problems for finding in findings):
        sys.exit(NOT_WELL)


def state(finding: TopicFinding) -> str:
    """The state of a topic in words."""
    if finding.problems:
        hint = (
            ""
            if finding.exists or "missing:" in finding.problems[0]
            else " (`hurnet topics --create` makes it)"
        )
        return "; ".join(finding.problems) + hint
    return "created" if finding.created else "ok"
