"""`hurnet migrate`: another embedder, without a pause."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, Final

import click

from hurnet_stream.exit_codes import DONE, NOT_WELL

if TYPE_CHECKING:
    from hurnet_stream.adapters.redis import Connection
    from hurnet_stream.core.stored.generations import Generation, Generations
    from hurnet_stream.operations.migration import Lacking, Opened
    from hurnet_stream.settings.settings import Settings

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
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="Longest time in seconds to wait until the generation lacks nothing.",
)
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
    from hurnet_stream.terminal.screen import hush

    asked = [name for name in STEPS if options[name]] or ["status"]
    if len(asked) > 1:
        raise click.UsageError("One step at a time: " + ", ".join(f"--{a.replace('_', '-')}" for a in asked))
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
    sys.exit(do[asked[0]](options))


def serve(options: dict[str, Any], *, newer: bool) -> int:
    """Have the newer or the older generation answer, once it lacks nothing."""
    from hurnet_stream.adapters.redis import RedisGenerations
    from hurnet_stream.operations.migration import newest, oldest

    with ExitStack() as stack:
        chosen, connection, known = _known(stack)
        wanted = newest(known) if newer else oldest(known)
        if wanted.number == known.serving:
            return _tell(options, known, f"{known.label(wanted)} answers already")
        found = _waited(stack, chosen, connection, known, wanted, options["wait_s"])
        if found.reasons() and not options["anyway"]:
            return _refuse(options, known.label(wanted), found)
        known = RedisGenerations(connection).change(lambda each: each.cut_over(wanted.number))
    return _tell(options, known, f"{known.label(wanted)} answers from now on")


def _waited(
    stack: ExitStack,
    chosen: Settings,
    connection: Connection,
    known: Generations,
    wanted: Generation,
    wait_s: float,
) -> Lacking:
    from hurnet_stream.adapters.redis import RedisResponderPresence
    from hurnet_stream.operations.migration import lacking, lacking_topic, wait_for
    from hurnet_stream.terminal.screen import say

    other = known.other(wanted.number)
    if other is None:
        raise click.UsageError("there is no other generation")
    of, than = _opened(stack, chosen, wanted), _opened(stack, chosen, other)
    # What ingest fills holds all that the other one was filled with.
    upto = {} if wanted.number == known.filling else than.store.states()
    presence, told = RedisResponderPresence(connection), set[str]()

    def tell(found: Lacking) -> None:
        for reason in found.reasons():
            if reason not in told and not told:
                say(f"waiting up to {wait_s:.0f} s: {reason}", err=True)
            told.add(reason)

    def look() -> Lacking:
        if of.generation.topic != than.generation.topic:
            return lacking_topic(of, than, presence.present())
        return lacking(of, than, presence.present(), upto)

    return wait_for(look, wait_s, tell)


def _compare(options: dict[str, Any]) -> int:
    from hurnet_stream.commands.comparing import compare

    with ExitStack() as stack:
        chosen, _, known = _known(stack)
        return compare(chosen, known, options["last"], options["as_json"])


def _finish(options: dict[str, Any]) -> int:
    from hurnet_stream.adapters.redis import RedisGenerations

    with ExitStack() as stack:
        chosen, connection, known = _known(stack)
        serving = known.of(known.serving)
        if serving is None or known.serving == known.filling:
            return _tell(options, known, "there is nothing to finish: ingest fills what answers")
        found = _waited(stack, chosen, connection, known, serving, options["wait_s"])
        if found.shards and not options["anyway"]:
            return _refuse(options, serving.name, found)
        known = RedisGenerations(connection).change(lambda each: each.filled(serving.number))
    return _tell(
        options,
        known,
        f"set HURNET_EMBEDDER_NAME={serving.called or serving.name} for ingest and solver, and restart them."
        f" They fill {serving.name} from where it stands. Texts wait in Kafka until then, and answers go on",
    )


def remove(options: dict[str, Any]) -> int:
    from hurnet_stream.adapters.redis import RedisGenerations
    from hurnet_stream.adapters.redis.dropping import drop, leftovers

    name = options["drop"]
    with ExitStack() as stack:
        _, connection, known = _known(stack)
        gone = known.named(name)
        numbers = [gone.number] if gone else leftovers(connection, known)
        if not numbers:
            raise click.UsageError(
                f"There is no generation of {name!r}: `hurnet migrate --status` names them."
            )
        if gone:
            _allowed(lambda: known.without(gone.number))
            if not options["anyway"]:
                click.confirm(
                    f"Remove all that {known.label(gone)} holds? It can't be undone", abort=True, err=True
                )
            known = RedisGenerations(connection).change(
                lambda each: each.without(gone.number) if each.of(gone.number) else each
            )
        removed = sum(drop(connection, number, known) for number in numbers)
    return _tell(options, known, f"{name} is gone ({removed:,} keys)")


def status(options: dict[str, Any]) -> int:
    with ExitStack() as stack:
        chosen, connection, known = _known(stack)
        return _tell(options, known, "", _facts(stack, chosen, connection, known))


def _facts(
    stack: ExitStack, chosen: Settings, connection: Connection, known: Generations
) -> list[dict[str, Any]]:
    """What `--status` says of each generation."""
    from hurnet_stream.adapters.redis import RedisCopyNotes, RedisResponderPresence, at_generation

    present = RedisResponderPresence(connection).present() if len(known.members) > 1 else {}
    found: list[dict[str, Any]] = []
    all_opened = {each.number: _opened(stack, chosen, each) for each in known.members}
    for each in known.members:
        opened = all_opened[each.number]
        notes = RedisCopyNotes(connection, at_generation(connection, each.number))
        held = [
            holding.rows for of_shard in opened.store.holdings().values() for holding in of_shard.values()
        ]
        found.append(
            {
                "embedder": each.name,
                **({"topic": each.topic} if each.topic else {}),
                "fingerprint": each.embedder.fingerprint,
                "answers": each.number == known.serving,
                "filled_by": "ingest" if each.origin or each.number == known.filling else "migrate",
                "rows": sum(held),
                "left_out": notes.left_out(),
                "watermarks": {str(p): state.watermark for p, state in opened.store.states().items()},
                "weights": sorted(opened.weights.published_ms()),
                **_forwarded(each, all_opened),
                "responders": sorted(i for i, said in present.items() if each.number in said.holds),
            }
        )
    return found


def _forwarded(generation: Generation, opened: dict[int, Opened]) -> dict[str, Any]:
    """Of a topic that another one is forwarded to: by the shards of that, how many offsets are not in yet."""
    from hurnet_stream.operations.resharding import behind

    old = [
        each for each in opened.values() if generation.origin and each.generation.topic == generation.origin
    ]
    return {"behind": behind(old[0].store, opened[generation.number].store)} if old else {}


def _known(stack: ExitStack) -> tuple[Settings, Connection, Generations]:
    """The settings, a connection to the first generation, and which ones there are."""
    from hurnet_stream.adapters.redis import RedisGenerations, connect
    from hurnet_stream.adapters.segments import segments_at
    from hurnet_stream.settings import settings

    chosen = settings.load()
    connection = stack.enter_context(closing(connect(chosen.redis, segments_at(chosen.segments))))
    return chosen, connection, RedisGenerations(connection).change(lambda known: known)


def _opened(stack: ExitStack, chosen: Settings, generation: Generation) -> Opened:
    from hurnet_stream.adapters.redis import RedisEntryStore, RedisWeightsStore, connect_to
    from hurnet_stream.adapters.segments import segments_at
    from hurnet_stream.operations.migration import Opened

    segments = segments_at(chosen.segments)
    connection = stack.enter_context(closing(connect_to(chosen.redis, generation.number, segments)))
    return Opened(generation, RedisEntryStore(connection), RedisWeightsStore(connection))


def _allowed(step: Callable[[], object]) -> None:
    """Raises `UsageError` if the step may not be made."""
    try:
        step()
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _refuse(options: dict[str, Any], wanted: str, found: Lacking) -> int:
    from hurnet_stream.terminal.screen import say, say_json

    if options["as_json"]:
        say_json({"done": False, "generation": wanted, "lacking": found.reasons()})
        return NOT_WELL
    say(f"nothing was changed, because {wanted} lacks something (--anyway passes over that):", err=True)
    for reason in found.reasons():
        say(f"  {reason}", err=True)
    return NOT_WELL


def _tell(
    options: dict[str, Any], known: Generations, text: str, facts: list[dict[str, Any]] | None = None
) -> int:
    from hurnet_stream.terminal.migrating import show
    from hurnet_stream.terminal.screen import say, say_json

    serving, filling = known.of(known.serving), known.of(known.filling)
    names = {"serving": known.label(serving) if serving else ""}
    names["filling"] = known.label(filling) if filling else ""
    if options["as_json"]:
        say_json({"done": True, **names, **({} if facts is None else {"generations": facts})})
        return DONE
    if text:
        say(text)
    if facts is not None:
        show(facts)
    return DONE
