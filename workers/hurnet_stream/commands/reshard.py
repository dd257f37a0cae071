"""`hurnet reshard`: another number of partitions, without a pause."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, Final

import click

from hurnet_stream.exit_codes import DONE, NOT_THERE
from hurnet_stream.terminal.options import wait_option

if TYPE_CHECKING:
    from hurnet_stream.settings.settings import Settings

EPILOG = """\b
Examples:
  hurnet reshard --partitions 12                   # forward texts to texts-12, and go on
  hurnet reshard --status
  hurnet reshard --cut-over                        # texts-12 answers from now on
  hurnet reshard --back                            # texts answers again
  hurnet reshard --find texts/2/89                 # what this record is called in texts-12
  hurnet reshard --drop texts                      # remove what was filled from the old topic
"""

STEPS: Final = ("partitions", "cut_over", "back", "find", "drop", "status")


@click.command(epilog=EPILOG)
@click.option(
    "--partitions", type=click.IntRange(1, 65_536), help="Forward to a topic with so many partitions."
)
@click.option("--topic", help="With --partitions and --find: the new topic. Default: TEXTS-PARTITIONS.")
@click.option(
    "--from-store",
    is_flag=True,
    help="With --partitions: take texts that Kafka no longer holds from the store.",
)
@click.option("--once", is_flag=True, help="With --partitions: end when all is forwarded.")
@click.option("--cut-over", is_flag=True, help="From now on the new topic's generation answers.")
@click.option("--back", is_flag=True, help="From now on the old topic's generation answers.")
@click.option("--find", metavar="TOPIC/PARTITION/OFFSET", help="Where a record of the old topic stands now.")
@click.option("--drop", metavar="TOPIC", help="Remove the generation of this topic. The topic itself stays.")
@click.option("--status", is_flag=True, help="Which generations there are, and what is left. The default.")
@wait_option("nothing is lacking")
@click.option(
    "--anyway", is_flag=True, help="Begin or cut over although something is lacking, or drop without asking."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def reshard(**options: Any) -> None:
    """Have another number of partitions, without a pause.

    `--partitions` makes a new topic and is a worker that forwards each record of the old one to it, once, and
    goes on while anybody writes to the old one; it may be killed at any point. An ingest and a solver with
    HURNET_KAFKA_TEXTS of the new topic fill a generation of the store from it, beside the one that answers.
    `--cut-over` and `--back` say which of them answers, in one step that takes effect between two turns of
    each responder. Then writers are restarted with the new topic; once nobody writes to the old one, the
    worker ends.

    Exit code 0: done. 1: something is lacking, and nothing was changed. 3: --find found no such record.
    """
    from hurnet_stream.commands.generations import one_step, remove, serve, status
    from hurnet_stream.terminal.screen import hush

    step = one_step(options, STEPS)
    if not options["partitions"] and (options["once"] or options["from_store"]):
        raise click.UsageError("--once and --from-store go with --partitions.")
    if options["partitions"]:
        from hurnet_stream.wiring.running import run_by_settings

        sys.exit(run_by_settings("reshard", lambda chosen: _forward(chosen, options)))
    hush()
    do: dict[str, Callable[[dict[str, Any]], int]] = {
        "cut_over": lambda o: serve(o, newer=True),
        "back": lambda o: serve(o, newer=False),
        "find": _find,
        "drop": remove,
        "status": status,
    }
    sys.exit(do[step](options))


def _forward(chosen: Settings, options: dict[str, Any]) -> int:
    from hurnet_stream.wiring.resharding import Asked, run_forwarder

    partitions, texts = options["partitions"], chosen.kafka.texts
    # Its supervisor may have the new name already, like all others.
    topic = options["topic"] or (texts if texts.endswith(f"-{partitions}") else f"{texts}-{partitions}")
    return run_forwarder(
        chosen, Asked(topic, partitions, options["from_store"], options["once"], options["anyway"])
    )


def _find(options: dict[str, Any]) -> int:
    """Look through the new topic for the record that came from this one."""
    from hurnet_schemas.places import record_place
    from hurnet_stream.adapters.kafka import KafkaHistory
    from hurnet_stream.adapters.redis import RedisGenerations, connect
    from hurnet_stream.operations.resharding import found_at
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.screen import say, say_json

    try:
        old = record_place(options["find"])
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    chosen = settings.load()
    with ExitStack() as stack:
        connection = stack.enter_context(closing(connect(chosen.redis)))
        known = RedisGenerations(connection).read()
        filled = [each.topic for each in known.members if each.origin == old.topic] if known else []
        topic = options["topic"] or next(iter(filled), "")
        if not topic:
            raise click.UsageError(f"No topic that {old.topic} is forwarded to is known: name it by --topic.")
        history = stack.enter_context(closing(KafkaHistory(chosen.kafka, topic)))
        place = found_at(history, old, topic)
    if options["as_json"]:
        say_json({"old": str(old), "new": None if place is None else str(place)})
    else:
        say(f"{old} was not forwarded to {topic}" if place is None else str(place))
    return NOT_THERE if place is None else DONE
