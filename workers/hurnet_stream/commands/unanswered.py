"""`hurnet unanswered`: what is asked often and answered never."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hurnet_stream.operations.unanswered import Question
    from hurnet_stream.ports import Record
    from hurnet_stream.settings.settings import KafkaSettings

EPILOG = """\b
Examples:
  hurnet unanswered
  hurnet unanswered --context support --times 5 --limit 100
  hurnet unanswered --json | head
"""


@click.command(epilog=EPILOG)
@click.option("--context", metavar="NAME", help="Only questions to this context. Default: all.")
@click.option(
    "--times", type=click.IntRange(1), default=2, show_default=True, help="Only what was asked so often."
)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many to show.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def unanswered(context: str | None, times: int, limit: int, as_json: bool) -> None:
    """Show what is asked often and answered never.

    Reads queries and answers, which Kafka keeps for a day. Case and white space make no other question. Teach
    the missing answers with `hurnet correct` or `hurnet produce`.
    """
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.lines import context_name
    from hurnet_stream.terminal.screen import console, hush, moment, say, say_json, table

    hush()
    if context is not None:
        context_name(context)  # raises if no context can have this name
    chosen = settings.load()
    found = _questions(chosen.kafka, chosen.responder.reply_topics, times)
    shown = [question for question in found if context in (None, question.context)][:limit]
    if as_json:
        for question in shown:
            say_json(asdict(question))
        return
    if not shown:
        say("nothing was asked often enough and answered never")
        return
    rows = [(q.asked, moment(q.last_ms)[:19], q.context, q.text, q.nearest or "") for q in shown]
    console().print(table((">asked", "last (UTC)", "context", "question", "nearest answer"), rows))


def _questions(kafka: KafkaSettings, allowed: str, times: int) -> list[Question]:
    from hurnet_stream.operations.unanswered import outcomes, reply_topics, unanswered

    queries = _newest(kafka, kafka.queries)
    topics = {kafka.answers} | reply_topics(queries, allowed)
    found = outcomes(record for topic in sorted(topics) for record in _newest(kafka, topic, missing_ok=True))
    return unanswered(queries, found, times)


def _newest(kafka: KafkaSettings, topic: str, missing_ok: bool = False) -> list[Record]:
    from hurnet_stream.adapters.kafka import KafkaHistory
    from hurnet_stream.errors import ConfigurationError
    from hurnet_stream.operations.unanswered import newest

    with closing(KafkaHistory(kafka, topic)) as history:
        try:
            return list(newest(history))
        except ConfigurationError:
            if missing_ok:  # a reply topic that is gone, or that we may not read
                return []
            raise
