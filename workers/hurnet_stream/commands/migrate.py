"""`hurnet migrate`: another embedder, without a pause."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import click

from hurnet_stream.terminal.options import wait_option

EPILOG = """\b
Examples:
  hurnet migrate --to table512           # fill a generation of this embedder, and go on following
  hurnet migrate --status
  hurnet migrate --compare --last 200    # the last questions, answered by both, side by side
  hurnet migrate --cut-over              # the new one answers from now on
  hurnet migrate --back                  # the old one answers again
  hurnet migrate --finish                # ingest is to fill the new one from now on
  hurnet migrate --drop use+hash512      # remove the old one
"""

STEPS: Final = ("to", "compare", "cut_over", "back", "finish", "drop", "status")


@click.command(epilog=EPILOG)
@click.option("--to", metavar="EMBEDDER", help="Fill a generation of this embedder from the other one.")
@click.option("--once", is_flag=True, help="With --to: end when it is filled, instead of following.")
@click.option("--compare", is_flag=True, help="Answer the last real questions by both generations.")
@click.option(
    "--last",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="With --compare: how many questions.",
)
@click.option("--cut-over", is_flag=True, help="From now on the newer generation answers.")
@click.option("--back", is_flag=True, help="From now on the older generation answers.")
@click.option("--finish", is_flag=True, help="Ingest is to fill the generation that answers.")
@click.option("--drop", metavar="EMBEDDER", help="Remove the generation of this embedder.")
@click.option("--status", is_flag=True, help="Which generations there are. The default.")
@wait_option("the generation lacks nothing")
@click.option(
    "--anyway", is_flag=True, help="Cut over although something is lacking, or drop without asking."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def migrate(**options: Any) -> None:
    """Answer by another embedder, without a pause.

    A generation is all that is remembered, as one embedder sees it. `--to` fills a second one from the texts
    of the first, which needs nothing of Kafka, and follows it until it is stopped; it may be killed at any
    point. Responders load the second one beside the first. `--cut-over` and `--back` say which of them
    answers, in one step that takes effect between two turns of each responder. After `--finish`, ingest and
    solver need HURNET_EMBEDDER_NAME of the new embedder.

    Exit code 0: done. 1: something is lacking, and nothing was changed.
    """
    from hurnet_stream.commands.generations import one_step, remove, serve, status
    from hurnet_stream.terminal.screen import hush

    step = one_step(options, STEPS)
    if options["once"] and not options["to"]:
        raise click.UsageError("--once goes with --to.")
    if options["to"]:
        from hurnet_stream.wiring.migrating import run_migration
        from hurnet_stream.wiring.running import run_by_settings

        to, once = options["to"], options["once"]
        sys.exit(run_by_settings("migrate", lambda chosen: run_migration(chosen, to, once)))
    hush()
    do: dict[str, Callable[[dict[str, Any]], int]] = {
        "cut_over": lambda o: serve(o, newer=True),
        "back": lambda o: serve(o, newer=False),
        "compare": _compare,
        "finish": _finish,
        "drop": remove,
        "status": status,
    }
    sys.exit(do[step](options))


def _compare(options: dict[str, Any]) -> int:
    from hurnet_stream.commands.comparing import compare
    from hurnet_stream.commands.generations import open_known

    with ExitStack() as stack:
        chosen, _, known = open_known(stack)
        return compare(chosen, known, options["last"], options["as_json"])


def _finish(options: dict[str, Any]) -> int:
    from hurnet_stream.adapters.redis import RedisGenerations
    from hurnet_stream.commands.generations import open_known, refuse, tell, waited

    with ExitStack() as stack:
        chosen, connection, known = open_known(stack)
        serving = known.of(known.serving)
        if serving is None or known.serving == known.filling:
            return tell(options, known, "there is nothing to finish: ingest fills what answers")
        found = waited(stack, chosen, connection, known, serving, options["wait_s"])
        if found.shards and not options["anyway"]:
            return refuse(options, serving.name, found)
        known = RedisGenerations(connection).change(lambda each: each.filled(serving.number))
    return tell(
        options,
        known,
        f"set HURNET_EMBEDDER_NAME={serving.called or serving.name} for ingest and solver, and restart them."
        f" They fill {serving.name} from where it stands. Texts wait in Kafka until then, and answers go on",
    )
