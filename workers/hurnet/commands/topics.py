"""`hurnet topics`: are the topics there, and as they should be?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hurnet.adapters.kafka.admin.topics import TopicFinding


@click.command()
@click.option("--create", is_flag=True, help="Create those that are missing.")
def topics(create: bool) -> None:
    """Check the four topics, or create them.

    Exit code 1 when one is missing or wrong.
    """
    from hurnet.adapters.kafka.admin.topics import ensure_topics
    from hurnet.settings import settings
    from hurnet.terminal.screen import console, hush, table

    hush()
    findings = ensure_topics(settings.load().kafka, create)
    console().print(
        table(("topic", ">partitions", "state"), ((f.name, f.partitions, state(f)) for f in findings))
    )
    if any(finding.problems for finding in findings):
        sys.exit(1)


def state(finding: TopicFinding) -> str:
    """In words: the problems, or that there are none."""
    if finding.problems:
        hint = "" if finding.exists else " (`hurnet topics --create` makes it)"
        return "; ".join(finding.problems) + hint
    return "created" if finding.created else "ok"
