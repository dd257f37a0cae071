"""What `hurnet migrate` and `hurnet reshard` do with generations of the store.

Each step takes the options of its command, and returns an exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.exit_codes import DONE, NOT_WELL

if TYPE_CHECKING:
    from hurnet_stream.adapters.redis import Connection
    from hurnet_stream.core.stored.generations import Generation, Generations
    from hurnet_stream.operations.migration import Lacking, Opened
    from hurnet_stream.settings.settings import Settings


def one_step(options: dict[str, Any], steps: Sequence[str]) -> str:
    """Which of these was asked for: `status` if none was. Raises `UsageError` if several were."""
    asked = [name for name in steps if options[name]] or ["status"]
    if len(asked) > 1:
        raise click.UsageError("One step at a time: " + ", ".join(f"--{a.replace('_', '-')}" for a in asked))
    return asked[0]


def serve(options: dict[str, Any], *, newer: bool) -> int:
    """Have the newer or the older generation answer, once it lacks nothing."""
    from hurnet_stream.adapters.redis import RedisGenerations
    from hurnet_stream.operations.migration import newest, oldest

    with ExitStack() as stack:
        chosen, connection, known = open_known(stack)
        wanted = newest(known) if newer else oldest(known)
        if wanted.number == known.serving:
            return tell(options, known, f"{known.label(wanted)} answers already")
        found = waited(stack, chosen, connection, known, wanted, options["wait_s"])
        if found.reasons() and not options["anyway"]:
            return refuse(options, known.label(wanted), found)
        known = RedisGenerations(connection).change(lambda each: each.cut_over(wanted.number))
    return tell(options, known, f"{known.label(wanted)} answers from now on")


def remove(options: dict[str, Any]) -> int:
    from hurnet_stream.adapters.redis import RedisGenerations
    from hurnet_stream.adapters.redis.dropping import drop, leftovers
    from hurnet_stream.terminal.screen import confirm

    name = options["drop"]
    with ExitStack() as stack:
        _, connection, known = open_known(stack)
        gone = known.named(name)
        numbers = [gone.number] if gone else leftovers(connection, known)
        if not numbers:
            raise click.UsageError(
                f"There is no generation of {name!r}: `hurnet migrate --status` names them."
            )
        if gone:
            _allowed(lambda: known.without(gone.number))
            if not options["anyway"]:
                confirm(f"Remove all that {known.label(gone)} holds? It can't be undone.", "--anyway")
            known = RedisGenerations(connection).change(
                lambda each: each.without(gone.number) if each.of(gone.number) else each
            )
        removed = sum(drop(connection, number, known) for number in numbers)
    return tell(options, known, f"{name} is gone ({removed:,} keys)")


def status(options: dict[str, Any]) -> int:
    with ExitStack() as stack:
        chosen, connection, known = open_known(stack)
        return tell(options, known, "", _facts(stack, chosen, connection, known))


def waited(
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


def open_known(stack: ExitStack) -> tuple[Settings, Connection, Generations]:
    """The settings, a connection to the first generation, and which ones there are."""
    from hurnet_stream.adapters.redis import RedisGenerations, connect
    from hurnet_stream.adapters.segments import segments_at
    from hurnet_stream.settings import settings

    chosen = settings.load()
    connection = stack.enter_context(closing(connect(chosen.redis, segments_at(chosen.segments))))
    return chosen, connection, RedisGenerations(connection).change(lambda known: known)


def refuse(options: dict[str, Any], wanted: str, found: Lacking) -> int:
    from hurnet_stream.terminal.screen import say, say_json

    if options["as_json"]:
        say_json({"done": False, "generation": wanted, "lacking": found.reasons()})
        return NOT_WELL
    say(f"nothing was changed, because {wanted} lacks something (--anyway passes over that):", err=True)
    for reason in found.reasons():
        say(f"  {reason}", err=True)
    return NOT_WELL


def tell(
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
