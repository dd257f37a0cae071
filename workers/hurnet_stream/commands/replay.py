"""`hurnet replay`: the question of a receipt asked again, and whether the answer is the same to the bit."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING

import click

from hurnet_stream.exit_codes import DONE, NOT_THERE, NOT_WELL

if TYPE_CHECKING:
    from hurnet_stream.adapters.redis import Connection
    from hurnet_stream.operations.again.asked import Asked
    from hurnet_stream.operations.again.replayed import Replayed
    from hurnet_stream.ports import EntryStore
    from hurnet_stream.settings.settings import Settings

TRIES = 5
"""How often to begin again."""
LARGE = 100_000
"""Rows from which it is said beforehand how many there are to read."""
LARGE_BYTES = 1 << 30
"""Of memory, from which the same is said, and from which it must be free."""
ROOM = 3
"""Times the stored bytes of a context that its index takes at most while it is loaded."""
ROWS_A_SECOND = 20_000
"""That are read and taken in, on a slow machine."""

EPILOG = """\b
Examples:
  hurnet replay answers/0/42
  hurnet replay answers/0/42 --now         # would it be answered the same today?
  hurnet ask --json "how do I turn on the light" > receipt.json; hurnet replay receipt.json
"""


@click.command(epilog=EPILOG)
@click.argument("receipt")
@click.option("--now", "today", is_flag=True, help="Ask as of today: would it be answered the same, and why?")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(receipt: str, today: bool, as_json: bool) -> None:
    """Ask a question again, and compare bit by bit.

    RECEIPT is the record of an answer (answers/0/42), or a file with one line of `hurnet ask --json`; - is
    standard input. Loads the context from the store as it was when the question was answered, takes the
    weights and the mix that the receipt names, asks, and compares every field.

    Exit code 0: the same to the bit. 1: something differs. 3: it can't be asked again exactly, since
    something is gone (an entry that was forgotten, say); what, is said.
    """
    from hurnet_stream.operations.again.asked import Missing
    from hurnet_stream.operations.again.replayed import Replayed
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.receipts import asked, outcome
    from hurnet_stream.terminal.screen import console, hush, say_json

    hush()
    chosen = settings.load()
    found = asked(receipt, chosen.kafka)
    if isinstance(found, Missing):
        replayed = Replayed(None, None, missing=[found])
    else:
        replayed = ask(found, chosen, today)
    if as_json:
        say_json(replayed.as_dict(receipt))
    else:
        console().print(outcome(replayed))
    sys.exit(_exit_code(replayed))


def ask(found: Asked, chosen: Settings, today: bool) -> Replayed:
    """Asked again from the store. Begins again if deletions are compacted away while it reads. Raises
    `StoreError` if there is no store."""
    from hurnet_stream.adapters.redis import connect_epoch
    from hurnet_stream.adapters.segments import segments_at
    from hurnet_stream.errors import StoreReplaced

    receipt = found.then.receipt
    epoch = receipt.store if receipt and not today else None
    with closing(connect_epoch(chosen.redis, epoch, segments_at(chosen.segments))) as connection:
        for _ in range(TRIES - 1):
            try:
                return _asked(found, chosen, connection, today)
            except StoreReplaced:
                continue
        return _asked(found, chosen, connection, today)


def _asked(found: Asked, chosen: Settings, connection: Connection, today: bool) -> Replayed:
    from hurnet_stream.adapters.embedders import load
    from hurnet_stream.adapters.redis import (
        RedisEntryStore,
        RedisWeightsStore,
        embedder_name,
        generation_at,
    )
    from hurnet_stream.errors import StoreError
    from hurnet_stream.operations.again.again import ask_again
    from hurnet_stream.operations.again.replayed import World
    from hurnet_stream.operations.again.today import ask_today
    from hurnet_stream.terminal.screen import progress

    store = RedisEntryStore(connection)
    if store.identity() is None:
        raise StoreError(f"{connection.server_name} holds nothing under the prefix {chosen.redis.prefix!r}")
    embedder = load(embedder_name(connection, chosen.embedder.name))
    store.open(embedder.identity)  # raises if it is not the store's
    with progress("loading", _announced(store, found.query.context)) as advance:
        own = generation_at(connection)
        topics = (own.topic, own.origin if is_of_origin(found, own.topic, store) else "") if own else ()
        world = World(store, RedisWeightsStore(connection), embedder, chosen, advance, *topics)
        return ask_today(found, world) if today else ask_again(found, world)


def is_of_origin(found: Asked, topic: str, store: EntryStore) -> bool:
    """Whether names without a topic stand for the topic whose records are forwarded to that of this store: in
    a receipt that names this one, too, and in one of a generation that is gone."""
    from hurnet_schemas.places import shard_parts

    receipt = found.then.receipt
    if receipt is None:
        return False
    epochs = {state.epoch for state in store.states().values()}
    is_of_another = receipt.store is not None and bool(epochs) and receipt.store not in epochs
    return is_of_another or any(shard_parts(name)[0] == topic for name in receipt.watermarks)


def _announced(store: EntryStore, context: str) -> int:
    """How many rows will be read. It is said if they are many, and refused if there is no memory for those of
    the context."""
    from hurnet_stream.terminal.memory import free_bytes
    from hurnet_stream.terminal.screen import say

    rows = sum(state.rows for state in store.states().values())
    held = [of_shard[context] for of_shard in store.holdings().values() if context in of_shard]
    needed, free = ROOM * sum(holding.bytes for holding in held), free_bytes()
    if needed > LARGE_BYTES or rows > LARGE:
        say(
            f"reading {rows:,} rows, {sum(h.rows for h in held):,} of them of {context}: this takes up to"
            f" {needed / 1e9:.1f} GB of memory, and about {rows / ROWS_A_SECOND:.0f} s",
            err=True,
        )
    if free is not None and LARGE_BYTES < needed > free:
        raise click.UsageError(f"Only {free / 1e9:.1f} GB of memory are free here.")
    return rows


def _exit_code(replayed: Replayed) -> int:
    if replayed.same:
        return DONE
    return NOT_THERE if replayed.missing or replayed.now is None else NOT_WELL
