"""`hurnet verify`: the topic replayed, and compared with the store and with what the solver has learned."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from random import Random
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.core.places import first_position, last_position, offset_of, partition_of
from hurnet_stream.exit_codes import DONE, NOT_THERE, NOT_WELL

if TYPE_CHECKING:
    from hurnet_stream.adapters.redis import Connection
    from hurnet_stream.operations.proof import Proof, ShardProof
    from hurnet_stream.operations.verification import Verification
    from hurnet_stream.places import Places
    from hurnet_stream.ports import Checkpoint
    from hurnet_stream.settings.settings import Settings

Range = tuple[str, int, int]
"""The name of a shard, first offset, last offset."""
Positions = tuple[int, int, int]
"""Shard, first position, last position."""


EPILOG = """\b
Examples:
  hurnet verify
  hurnet verify --range 2/0-999 --json
  hurnet verify --range tickets/2/0-999      # of a topic that has a table in the settings
  hurnet verify --sample 1000                # some of each partition, in bounded time
"""


class RangeName(click.ParamType[Range]):
    """[TOPIC/]PARTITION/FIRST-LAST."""

    name = "partition/first-last"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Range:
        shard = r"((?:[a-zA-Z0-9._-]{1,249}/)?[0-9]{1,9})"
        parts = re.fullmatch(shard + r"/([0-9]{1,18})-([0-9]{1,18})", str(value))
        if not parts or int(parts[2]) > int(parts[3]):
            self.fail(f"{value!r} is not PARTITION/FIRST-LAST, as in 2/0-999 or tickets/2/0-999", param, ctx)
        return parts[1], int(parts[2]), int(parts[3])


@click.command(epilog=EPILOG)
@click.option(
    "--range",
    "ranges",
    type=RangeName(),
    multiple=True,
    help="Verify only these entries, and no statistics. May be repeated.",
)
@click.option(
    "--sample",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Verify the newest N offsets of each partition and N at a place drawn at random, and no statistics.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(ranges: tuple[Range, ...], sample: int | None, as_json: bool) -> None:
    """Replay the texts, and prove store and statistics.

    Reads the topics again, validates and embeds everything anew, and compares the result with the
    store and, by their digests, with the solver's statistics. It goes up to the solver's last checkpoint,
    unless ranges or a sample are asked for. It takes as long as embedding does, changes nothing, and may run
    beside the workers.

    Exit code 0: all is equal. 1: something differs. 3: equal as far as Kafka still holds the records.
    """
    from hurnet_stream.adapters.redis import RedisEntryStore, connect_serving
    from hurnet_stream.adapters.segments import segments_at
    from hurnet_stream.places import Places
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.screen import hush, say_json

    hush()
    if ranges and sample:
        raise click.UsageError("--range and --sample don't go together")
    chosen = settings.load()
    connection = connect_serving(chosen.redis, segments_at(chosen.segments), chosen.kafka.texts)
    try:
        places = Places.of(RedisEntryStore(connection).topics(), chosen.kafka.texts)
        proof = prove(chosen, connection, [_positions(places, each) for each in ranges], sample or 0)
    finally:
        connection.close()
    if as_json:
        shards = [named(places, shard) for shard in proof.shards]
        say_json(asdict(proof) | {"shards": shards, "equal": proof.equal, "unproved": proof.unproved})
    else:
        show(proof, places)
    sys.exit(NOT_WELL if not proof.equal else NOT_THERE if proof.unproved else DONE)


def _positions(places: Places, asked: Range) -> Positions:
    from hurnet_schemas.places import shard as shard_named

    name, first, last = asked
    try:
        shard = places.shard(shard_named(name))
    except ValueError as error:  # NotRead is one
        raise click.BadParameter(str(error), param_hint="--range") from error
    return shard, first_position(shard, first), last_position(shard, last)


def prove(chosen: Settings, connection: Connection, ranges: Sequence[Positions], sample: int = 0) -> Proof:
    """The comparison. Raises `StoreError` if there is nothing to verify or the embedder is another."""
    from hurnet_stream import belonging
    from hurnet_stream.adapters.embedders import load
    from hurnet_stream.adapters.kafka.reading.histories import KafkaHistories
    from hurnet_stream.adapters.redis import RedisEntryStore, embedder_name
    from hurnet_stream.operations.spot_checks import LOOK_AHEAD, sample_ranges
    from hurnet_stream.operations.verification import Verification
    from hurnet_stream.terminal.learned import features_of, learned
    from hurnet_stream.terminal.screen import progress
    from hurnet_stream.wiring.reading import readers

    features, checkpoint = features_of(chosen, connection), None
    if not (ranges or sample):
        features, checkpoint = learned(chosen, connection)
    store = RedisEntryStore(connection)
    embedder = load(embedder_name(connection, chosen.embedder.name))
    store.open(embedder.identity)  # raises if it is not the store's
    with ExitStack() as stack:
        topics = store.topics()
        with_table = topics.among(chosen.topics)  # of the others nobody knows what their records say
        history = KafkaHistories(chosen.kafka, with_table.with_texts(chosen.kafka.texts))
        stack.callback(history.close)
        if bound := store.log():
            belonging.check(bound, history.log())
        for name, topic_id in history.topic_ids().items():
            belonging.check_topic(name, topics.ids.get(name, topic_id), topic_id)
        reached = {p: state.watermark for p, state in store.states().items()}
        if sample:
            ranges = list(sample_ranges(reached, history.offset_ranges(), sample, Random()))  # noqa: S311
        advance = stack.enter_context(progress("replaying", _replayed(ranges, checkpoint)))
        verification = Verification(history, store, embedder, features, store.contexts(), advance)
        verification.in_compacted_topics(history.compacted())
        verification.reading_by(readers(chosen, store).read)
        if checkpoint:
            return verification.whole(checkpoint, chosen.solve.half_life_ms)
        return _of_ranges(verification, ranges, reached, LOOK_AHEAD if sample else None)


def _replayed(ranges: Sequence[Positions], checkpoint: Checkpoint | None) -> int:
    """How many records will be read."""
    if checkpoint:
        return sum(offset_of(p, shard.watermark) + 1 for p, shard in checkpoint.shards.items())
    return sum(offset_of(shard, last) - offset_of(shard, first) + 1 for shard, first, last in ranges)


def _of_ranges(
    verification: Verification,
    ranges: Sequence[Positions],
    reached: Mapping[int, int],
    look_ahead: int | None,
) -> Proof:
    """Entries alone. Deletions are looked for up to `reached`, or at first no further than `look_ahead`
    behind a range: what the store lacks may have been deleted later."""
    from hurnet_stream.operations.proof import Proof

    proof = Proof()
    for partition, first, last in ranges:
        until = reached.get(partition, -1)
        if last > until:
            raise click.BadParameter(
                f"the store has seen partition {partition_of(partition)} up to offset"
                f" {offset_of(partition, until)}, not {offset_of(partition, last)}",
                param_hint="--range",
            )
        near = until
        if look_ahead is not None:
            near = min(until, last_position(partition, offset_of(partition, last) + look_ahead))
        shard = verification.shard(partition, first, last, near)
        if shard.difference and near < until:
            shard = verification.shard(partition, first, last, until)
        proof.shards.append(shard)
    return proof


def named(places: Places, proof: ShardProof) -> dict[str, Any]:
    """A proof with the shard's name, and with offsets of records."""
    shard = proof.partition
    difference = proof.difference and (offset_of(shard, proof.difference[0]), proof.difference[1])
    return asdict(proof) | {
        "partition": places.shard_name(shard),
        "first": offset_of(shard, proof.first),
        "last": offset_of(shard, proof.last),
        "difference": difference,
    }


def show(proof: Proof, places: Places) -> None:
    """Print it as tables for a person."""
    from hurnet_stream.terminal.screen import console, table

    screen = console()
    rows = [
        (
            *(s["partition"], f"{s['first']}-{s['last']}", s["entries"], s["deleted"], s["unproved"]),
            _verdict(s["difference"]),
        )
        for s in (named(places, shard) for shard in proof.shards)
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
            f"equal, but {proof.unproved:,} entries are unproved: Kafka no longer holds their records, or"
            " their topic has no table in the settings"
        )
    else:
        screen.print("equal")


def _verdict(difference: tuple[int, str] | None) -> str:
    return f"differs first at offset {difference[0]}: {difference[1]}" if difference else "equal"
