"""A store is a prefix of one log: another log in its place is refused, however far it has grown."""

from __future__ import annotations

from contextlib import closing

import pytest
from structlog.testing import capture_logs

from hurnet_schemas import Query
from hurnet_stream.core.stored.batch import LogIdentity
from hurnet_stream.errors import ForeignLog, StoreGap, StoreReplaced
from hurnet_stream.ports import Outgoing, Record
from tests.memory.redis import MemoryRedis
from tests.memory.source import MemorySource
from tests.worlds import responder as responding
from tests.worlds.ingest import World, numbered, turn


def taught(count: int = 10) -> World:
    world = World()
    world.send(*numbered(0, count))
    with closing(world.worker()) as worker:
        turn(worker)
        worker.drain()
    return world


def offsets(world: World) -> list[int]:
    return [entry.offset for entry in world.entries()]


@pytest.mark.parametrize("count", [3, 10, 50])
def test_a_recreated_topic_is_refused_however_far_it_has_grown(count: int) -> None:
    world = taught()
    world.kafka.create("texts", partitions=2)
    world.send(*numbered(0, count))
    with pytest.raises(StoreGap, match=r"recreated.*hurnet repair"):
        turn(world.worker())
    assert offsets(world) == list(range(10))


def test_a_topic_that_is_recreated_under_a_running_worker_stops_it() -> None:
    world = taught()
    worker = world.worker()
    turn(worker, 3)
    world.kafka.create("texts", partitions=2)
    world.send(*numbered(0, 50))
    with pytest.raises(StoreGap, match="recreated"):
        turn(worker)
    assert offsets(world) == list(range(10))


@pytest.mark.parametrize("kept", [0, 5, 9])
@pytest.mark.parametrize("sent", [12, 50])
def test_a_log_that_was_rewritten_below_the_watermark_is_refused(kept: int, sent: int) -> None:
    """As by an unclean election: what was acknowledged is gone, and other records have its offsets."""
    world = taught()
    world.kafka.truncate("texts", 0, kept)
    world.send(*numbered(100, 100 + sent))
    with pytest.raises(StoreGap, match=r"rewritten below the watermark.*offset 9.*hurnet repair"):
        turn(world.worker())
    assert offsets(world) == list(range(10))


def test_the_same_record_from_another_leader_is_another_record() -> None:
    """A producer that sends again puts the same text at the same offset, and others before it may differ."""
    world = taught()
    world.kafka.truncate("texts", 0, 9)
    world.send(*numbered(9, 12))
    with pytest.raises(StoreGap, match="another record at offset 9"):
        turn(world.worker())


def test_a_marker_in_the_place_of_the_last_record_is_no_record() -> None:
    world = taught()
    world.kafka.truncate("texts", 0, 9)
    world.kafka.partition("texts", 0).records.append(None)
    world.send(*numbered(20, 25))
    with pytest.raises(StoreGap, match="no record at offset 9"):
        turn(world.worker())


def test_a_transaction_that_ends_under_another_leader_is_no_log_cut_off() -> None:
    world = taught()
    source = MemorySource(world.kafka, "texts", "reader")
    assert len(source.poll(0, 20).records) == 10
    world.kafka.truncate("texts", 0, 10)  # another leader, and nothing is lost
    world.kafka.append([Outgoing("texts", b"never committed")], mark="aborted")
    for _ in range(2):
        assert not source.poll(0, 20).records
    assert source.positions()[0] == 12


def test_retention_beyond_the_last_record_leaves_nothing_to_compare() -> None:
    world = taught()
    world.kafka.delete_before("texts", 0, 10)
    world.send(*numbered(10, 12))
    turn(world.worker())
    assert offsets(world) == list(range(12))


def test_compaction_may_take_the_last_record() -> None:
    world = taught()
    world.kafka.compacted.add("texts")
    world.kafka.partition("texts", 0).records[9] = None
    world.send(*numbered(10, 12))
    turn(world.worker())
    assert offsets(world) == list(range(12))


def test_what_was_put_aside_last_ties_a_shard_too() -> None:
    world = taught(4)
    world.send(b"no text")
    with closing(world.worker()) as worker:
        turn(worker)
    world.kafka.truncate("texts", 0, 4)
    world.send(*numbered(50, 55))
    with pytest.raises(StoreGap, match="another record at offset 4"):
        turn(world.worker())


def test_a_deletion_ties_a_shard_too() -> None:
    world = taught(4)
    world.send(None)  # deletes nothing, and is put aside
    world.delete(2)
    with closing(world.worker()) as worker:
        turn(worker)
    world.kafka.truncate("texts", 0, 5)
    world.send(*numbered(50, 55))
    with pytest.raises(StoreGap, match="another record at offset 5"):
        turn(world.worker())


def test_another_cluster_is_refused_at_start() -> None:
    world = taught()
    world.kafka.cluster = "another"
    with pytest.raises(ForeignLog, match="cluster another"):
        turn(world.worker())


def test_another_cluster_under_a_running_worker_is_let_go_of() -> None:
    world = taught()
    worker = world.worker()
    turn(worker, 3)
    world.kafka.cluster = "another"
    world.send(*numbered(10, 20))
    with pytest.raises(ForeignLog):
        turn(worker)
    assert offsets(world) == list(range(10))


def test_nothing_is_written_to_a_store_that_was_emptied_under_a_worker() -> None:
    world = taught()
    worker = world.worker()
    turn(worker, 3)
    world.redis.data = MemoryRedis().data
    world.send(*numbered(10, 20))
    with pytest.raises(StoreReplaced):
        turn(worker)
    data = world.redis.data
    assert (data.identity, data.shards, data.contexts) == (None, {}, set())
    worker.close()
    turn(world.worker(), 40)  # the topic still holds all of it
    assert offsets(world) == list(range(20))


def test_an_idle_worker_notices_too(monkeypatch: pytest.MonkeyPatch) -> None:
    world = taught()
    worker = world.worker()
    turn(worker, 3)
    world.redis.data = MemoryRedis().data
    monkeypatch.setattr("hurnet_stream.ingest.placing.CHECK_INTERVAL_S", 0.0)
    with pytest.raises(StoreReplaced):
        turn(worker)


def test_an_anchor_tells_every_part_of_a_record() -> None:
    record = Record("texts", 0, 7, 1_000, b"key", b"value", (("name", b"of"),), leader_epoch=3)
    others = [
        Record("texts", 0, 8, 1_000, b"key", b"value", (("name", b"of"),), leader_epoch=3),
        Record("texts", 0, 7, 1_001, b"key", b"value", (("name", b"of"),), leader_epoch=3),
        Record("texts", 0, 7, 1_000, b"keyv", b"alue", (("name", b"of"),), leader_epoch=3),
        Record("texts", 0, 7, 1_000, None, b"value", (("name", b"of"),), leader_epoch=3),
        Record("texts", 0, 7, 1_000, b"key", None, (("name", b"of"),), leader_epoch=3),
        Record("texts", 0, 7, 1_000, b"key", b"", (("name", b"of"),), leader_epoch=3),
        Record("texts", 0, 7, 1_000, b"key", b"value", (("nameo", b"f"),), leader_epoch=3),
        Record("texts", 0, 7, 1_000, b"key", b"value", (("name", None),), leader_epoch=3),
        Record("texts", 0, 7, 1_000, b"key", b"value", (), leader_epoch=3),
        Record("texts", 0, 7, 1_000, b"key", b"value", (("name", b"of"),), leader_epoch=4),
    ]
    anchors = [record.anchor, *(other.anchor for other in others)]
    assert len(set(anchors)) == len(anchors)
    assert type(record.anchor).decode(record.anchor.encode()) == record.anchor


def test_a_responder_answers_from_no_other_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither from another cluster's context, nor once the topic was made anew: watermarks of clients
    are then of other offsets than those in the store."""
    monkeypatch.setattr("hurnet_stream.responder.following.LOG_INTERVAL_S", 0.0)
    for change in ("cluster", "topic"):
        world = responding.World()
        world.kafka.create("texts", partitions=2)
        world.store.bind(LogIdentity(world.kafka.cluster, world.kafka.ids["texts"]))
        world.teach(*responding.PAIRS)
        worker = world.responder()
        responding.turn(worker)
        if change == "cluster":
            world.redis.data.log = LogIdentity("another", world.kafka.ids["texts"])
        else:
            world.kafka.create("texts", partitions=2)
        world.ask(Query(text="will it rain", min_watermarks={0: 1}))
        with pytest.raises(ForeignLog, match=change):
            responding.turn(worker)
        assert world.answers() == []


def test_a_responder_notices_a_store_that_was_emptied() -> None:
    world = responding.World()
    world.teach(*responding.PAIRS)
    worker = world.responder()
    responding.turn(worker)
    world.redis.data = MemoryRedis().data
    world.ask(Query(text="will it rain"))
    with pytest.raises(StoreReplaced):
        responding.turn(worker)
    assert world.answers() == []


def test_rows_that_kafka_no_longer_holds_are_told() -> None:
    world = taught()
    world.kafka.delete_before("texts", 0, 4)
    with capture_logs() as logs, closing(world.worker()) as worker:
        turn(worker)
    (told,) = [line for line in logs if "backups alone" in line["event"]]
    assert (told["log_level"], told["partition"], told["rows_at_most"]) == ("info", 0, 4)
    with capture_logs() as logs, closing(taught().worker()) as worker:
        turn(worker)
    assert not [line for line in logs if "backups alone" in line["event"]]


def test_what_is_skipped_is_counted() -> None:
    world = taught(4)
    world.send(*numbered(4, 10))
    world.kafka.delete_before("texts", 0, 7)
    with closing(world.worker(skip_gap=True)) as worker:
        turn(worker)
    assert offsets(world) == [0, 1, 2, 3, 7, 8, 9]
    assert b"hurnet_skipped_offsets_total 3.0" in worker._metrics.exposition()
