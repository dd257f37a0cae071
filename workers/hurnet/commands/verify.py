"""`hurnet verify`: the topic replayed, and compared with the context and with what was learned from it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hurnet.adapters.redis import Connection
    from hurnet.operations.verification import Proof, ShardProof, Verification
    from hurnet.settings.settings import Settings

EXIT_DIFFERENT = 1
EXIT_UNPROVED = 3
Range = tuple[int, int, int]


class RangeName(click.ParamType[Range]):
    """PARTITION/FIRST-LAST."""

    name = "partition/first-last"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Range:
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,18})-([0-9]{1,18})", str(value))
        if not found or int(found[2]) > int(found[3]):
            self.fail(f"{value!r} is not PARTITION/FIRST-LAST", param, ctx)
        return int(found[1]), int(found[2]), int(found[3])


@click.command()
@click.option("--range", "ranges", type=RangeName(), multiple=True, help="Only these entries, no statistics.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(ranges: tuple[Range, ...], as_json: bool) -> None:
    """Replay the texts, and prove context and statistics.

    The topic of texts is validated and embedded anew, and compared with the context and, by their digests,
    with the solver's statistics: everything up to the solver's last checkpoint, unless ranges are named.
    Takes as long as embedding it anew, changes nothing, and may run beside the workers.

    Exit code 0: equal. 1: something differs. 3: equal, but Kafka no longer holds all of it.
    """
    from hurnet.adapters.redis import connect
    from hurnet.settings import settings
    from hurnet.terminal.screen import hush, say_json

    hush()
    chosen = settings.load()
    connection = connect(chosen.redis)
    try:
        proof = prove(chosen, connection, ranges)
    finally:
        connection.close()
    if as_json:
        say_json(asdict(proof) | {"equal": proof.equal, "unproved": proof.unproved})
    else:
        show(proof)
    sys.exit(EXIT_DIFFERENT if not proof.equal else EXIT_UNPROVED if proof.unproved else 0)


def prove(chosen: Settings, connection: Connection, ranges: Sequence[Range]) -> Proof:
    """Raises `StoreError` where there is nothing to verify, or the embedder is another."""
    from hurnet import belonging
    from hurnet.adapters.embedders import load
    from hurnet.adapters.kafka import KafkaHistory
    from hurnet.adapters.redis import RedisEntryStore
    from hurnet.operations.verification import Proof, Verification
    from hurnet.terminal.learned import learned

    features, checkpoint = learned(chosen, connection, needed=not ranges)
    store = RedisEntryStore(connection)
    embedder = load(chosen.embedder.name)
    store.open(embedder.identity)  # checks that it is the context's
    with ExitStack() as stack:
        history = KafkaHistory(chosen.kafka, chosen.kafka.texts)
        stack.callback(history.close)
        if bound := store.log():
            belonging.check(bound, history.log())
        replayed = sum(last - first + 1 for _, first, last in ranges) or sum(
            shard.watermark + 1 for shard in checkpoint.shards.values()
        )
        advance = stack.enter_context(_progress(replayed))
        verification = Verification(history, store, embedder, features, store.contexts(), advance)
        if not ranges:
            return verification.whole(checkpoint, chosen.solve.half_life_ms)
        until = {p: state.watermark for p, state in store.states().items()}
        return Proof([_shard(verification, until, *chosen_range) for chosen_range in ranges])


def _shard(
    verification: Verification, until: dict[int, int], partition: int, first: int, last: int
) -> ShardProof:
    reached = until.get(partition, -1)
    if last > reached:
        raise click.BadParameter(
            f"the context has seen partition {partition} up to {reached}, not {last}", param_hint="--range"
        )
    return verification.shard(partition, first, last, reached)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, otherwise nothing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import Progress

    from hurnet.terminal.screen import console

    with Progress(console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("replaying", total=total)
        yield lambda done: bar.advance(task, done)


def show(proof: Proof) -> None:
    """For a person."""
    from hurnet.terminal.screen import console, table

    screen = console()
    rows = [
        (s.partition, f"{s.first}-{s.last}", s.entries, s.deleted, s.unproved, _verdict(s.difference))
        for s in proof.shards
    ]
    screen.print(table((">shard", "offsets", ">equal entries", ">deleted", ">unproved", "verdict"), rows))
    if proof.digests:
        contexts = [
            (key, digest, proof.differences.get(key, "equal")) for key, digest in proof.digests.items()
        ]
        screen.print(table(("context", "digest of its statistics, replayed", "the solver's"), contexts))
    if not proof.equal:
        screen.print("different")
    elif proof.unproved:
        screen.print(
            f"equal, but {proof.unproved:,} entries are unproved: Kafka no longer holds their records"
        )
    else:
        screen.print("equal")


def _verdict(difference: tuple[int, str] | None) -> str:
    return f"differs first at offset {difference[0]}: {difference[1]}" if difference else "equal"
