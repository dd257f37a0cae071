"""The canary: each outcome by its cause, nothing twice, nothing left behind, and never the end of it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from hurnet_schemas import Answer, Query
from hurnet_stream.canary.canary import StoreLooks
from hurnet_stream.canary.once_only import OnceOnly
from hurnet_stream.canary.texts import text_of
from hurnet_stream.errors import RedisFailing
from hurnet_stream.metrics.canary import FRESH
from hurnet_stream.solver import solver as solver_module
from tests.worlds.canary import World, right
from tests.worlds.deleting import turn


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_module, "WAIT_S", 0.0)


def never_verified() -> dict[str, int]:
    return {}


def test_a_system_that_works_answers_every_probe_of_every_partition() -> None:
    world = World()
    canary, ingest, responder = world.canary(interval=1), world.ingest(), world.responder()
    assert canary.unready() == ["no probe has ended yet"]
    world.run(10.5, canary, ingest.step, responder.step)
    assert world.outcomes() == {"ok": 11}
    assert [world.counted("partition_well", partition=str(p)) for p in range(2)] == [1, 1]
    assert world.counted("freshness_seconds_count") == world.counted("answer_seconds_count") == 11
    assert world.counted("duplicates_total") == 0
    assert canary.unready() == []
    asked = [record.partition for record in world.kafka.records("queries")]
    assert set(asked) == {0, 1}
    entries = [record for record in world.kafka.records("texts") if record.value]
    assert {record.key for record in entries} == {b"hurnet-canary/canary"}


def altered(change: Callable[[Answer, Query], Answer]) -> Callable[[Query], bytes]:
    return lambda query: change(right(query), query).encode()


def with_entry(answer: Answer, _query: Query) -> Answer:
    (candidate,) = answer.candidates
    entry = candidate.entry.model_copy(update={"offset": candidate.entry.offset + 1})
    return answer.model_copy(update={"candidates": [candidate.model_copy(update={"entry": entry})]})


def said(outcome: str) -> Callable[[Query], bytes]:
    return lambda query: Answer(id=query.id or "", outcome=outcome, reason="because").encode()


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (lambda query: right(query).encode(), "ok"),
        (lambda query: right(query, seen=3).encode(), "ok"),
        (lambda query: right(query, seen=-1).encode(), "wrong"),
        (altered(lambda answer, _: answer.model_copy(update={"answer": "another"})), "wrong"),
        (altered(with_entry), "wrong"),
        (altered(lambda answer, _: answer.model_copy(update={"candidates": []})), "wrong"),
        (altered(lambda answer, _: answer.model_copy(update={"receipt": None})), "wrong"),
        (lambda _: b"no answer at all", "wrong"),
        (said("of a newer kind"), "wrong"),
        (said("abstained"), "abstained"),
        (said("rejected"), "rejected"),
        (said("timed-out"), "timed-out"),
    ],
    ids=[
        *("right", "has-seen-more", "has-not-seen-it", "another-text", "another-entry", "no-candidate"),
        *("no-receipt", "unreadable", "unknown-outcome", "abstained", "rejected", "timed-out"),
    ],
)
def test_a_reply_is_ok_only_if_all_of_it_is_right(reply: Callable[[Query], bytes], outcome: str) -> None:
    world = World()
    canary = world.canary(interval=60)
    world.run(20, canary, world.answering(lambda query, _: [reply(query)]))
    assert world.outcomes() == {outcome: 1}
    assert world.counted("freshness_seconds_bucket", le="5.0") == (outcome == "ok")
    assert world.counted("freshness_seconds_bucket", le="+Inf") == 1
    assert world.counted("answer_seconds_bucket", le="5.0") == 1  # it came, whatever it was


def test_what_nobody_answers_counts_and_lies_beyond_every_bucket() -> None:
    world = World()
    canary, ingest = world.canary(interval=60), world.ingest()
    world.run(9, canary, ingest.step)
    assert world.outcomes() == {}
    world.run(2, canary, ingest.step)
    assert world.outcomes() == {"no-reply": 1}
    assert world.counted("partition_well", partition="0") == 0
    for histogram in ("freshness_seconds", "answer_seconds"):
        assert world.counted(f"{histogram}_bucket", le=str(FRESH[-1])) == 0
        assert world.counted(f"{histogram}_count") == 1


def test_a_text_that_ingest_does_not_take_in_is_waited_for_in_vain() -> None:
    world = World()
    canary, responder = world.canary(interval=60), world.responder(wait=0)
    world.run(5, canary, responder.step)
    assert world.outcomes() == {"timed-out": 1}


def test_a_second_reply_within_a_minute_is_a_duplicate_and_a_later_one_is_forgotten() -> None:
    world = World()
    canary = world.canary(interval=600)
    world.run(1, canary, world.answering(lambda query, _: [right(query).encode()] * 2))
    assert (world.outcomes(), world.counted("duplicates_total")) == ({"ok": 1}, 1)
    (question,) = world.kafka.records("queries")
    late = world.answering(lambda query, _: [right(query).encode()])
    world.answered.clear()
    world.run(61, canary)
    late()
    world.run(1, canary)
    assert (world.outcomes(), world.counted("duplicates_total")) == ({"ok": 1}, 1)
    assert question.header("reply-to") == b"answers-canary"


def test_a_reply_that_comes_after_the_time_out_is_no_duplicate() -> None:
    world = World()
    canary = world.canary(interval=600)
    world.run(11, canary)
    world.answering(lambda query, _: [right(query).encode()])()
    world.run(1, canary)
    assert (world.outcomes(), world.counted("duplicates_total")) == ({"no-reply": 1}, 0)


def test_a_kafka_that_is_away_fails_probes_and_ends_nothing() -> None:
    world = World()
    world.kafka.away = True
    canary = world.canary(interval=1)
    world.run(4.5, canary)
    assert world.outcomes() == {"produce-failed": 5}
    assert canary.unready() == ["no broker"]
    world.kafka.away = False
    ingest, responder = world.ingest(), world.responder()
    world.run(5, canary, ingest.step, responder.step)
    assert world.outcomes() == {"produce-failed": 5, "ok": 5}
    world.kafka.stalled.add("queries")
    world.run(2, canary, ingest.step)
    assert world.outcomes()["produce-failed"] == 7


def test_a_failure_that_goes_on_is_said_once_a_minute_and_a_new_one_at_once() -> None:
    world = World()
    ingest, responder = world.ingest(), world.responder()
    world.kafka.stalled.add("queries")
    with capture_logs() as logs:
        canary = world.canary(interval=1)
        world.run(29, canary, ingest.step)
        world.kafka.stalled.clear()
        world.run(10, canary, ingest.step, responder.step)
        world.kafka.stalled.add("queries")
        world.run(10, canary, ingest.step)
    said = [line for line in logs if line["event"] == "a probe failed"]
    assert {line["outcome"] for line in said} == {"produce-failed"}
    assert sorted(line["partition"] for line in said) == [0, 0, 1, 1]


def test_a_partition_that_takes_nothing_holds_up_no_other() -> None:
    world = World()
    canary, ingest, responder = world.canary(interval=1), world.ingest(), world.responder()
    world.courier.broken = {1}
    world.run(16.5, canary, ingest.step, responder.step)
    assert world.outcomes() == {"ok": 9, "produce-failed": 3}  # five of the others are still under way
    assert world.counted("freshness_seconds_bucket", le="0.5") == 9
    assert [world.counted("partition_well", partition=str(p)) for p in range(2)] == [1, 0]


@pytest.mark.parametrize("still_s", [3.0, 3_600.0])
def test_while_the_canary_itself_stood_still_nothing_is_counted(still_s: float) -> None:
    world = World()
    canary, ingest, responder = world.canary(interval=1), world.ingest(), world.responder()
    world.run(3, canary, ingest.step, responder.step)
    counted = world.outcomes()
    canary.step()
    world.run(0.1, canary)  # a probe is under way
    world.courier.stands_still_s = still_s
    canary.step()
    world.run(0.1, canary)
    assert world.outcomes() == counted
    world.run(3, canary, ingest.step, responder.step)
    assert set(world.outcomes()) == {"ok"}
    assert world.outcomes()["ok"] <= counted["ok"] + 5  # nothing is made up for


def test_a_deletion_that_was_watched_while_the_canary_stood_still_is_not_counted() -> None:
    world = World()
    canary = world.canary(interval=2, deletion_interval=30)
    ingest, responder = world.ingest(), world.responder()
    world.run(29.5, canary, ingest.step, responder.step)
    world.run(1, canary)  # the tombstones are sent
    world.courier.stands_still_s = 60
    world.run(1, canary)
    world.run(9, canary, ingest.step, responder.step)
    assert world.outcomes("deletions_total") == {}
    world.run(30, canary, ingest.step, responder.step)
    assert set(world.outcomes("deletions_total")) == {"ok"}


def canary_texts(world: World) -> list[str]:
    shards = world.redis.data.shards.values()
    return [entry.text for shard in shards for entry in shard.entries() if entry.context == "canary"]


def test_the_next_start_deletes_what_a_killed_canary_has_left() -> None:
    world = World()
    world.send("a text of somebody", "an answer")
    ingest = world.ingest()
    killed = world.canary(interval=1)
    world.run(5, killed, ingest.step)
    assert len(canary_texts(world)) == 5
    started = world.canary(interval=600)
    world.run(0.1, started)
    ingest.close()
    world.take_in()
    assert len(canary_texts(world)) == 1  # the first probe of the new one
    started.drain()
    world.take_in()
    assert canary_texts(world) == []
    (kept,) = world.left()
    assert kept[1].text == "a text of somebody"


def test_a_tombstone_that_kafka_did_not_take_at_the_start_is_sent_again() -> None:
    world = World()
    ingest = world.ingest()
    world.run(5, world.canary(interval=1), ingest.step)
    world.kafka.away = True
    started = world.canary(interval=600)
    world.run(5, started)
    world.kafka.away = False
    world.run(61, started)
    ingest.close()
    world.take_in()
    assert canary_texts(world) == []


def test_canaries_of_different_names_leave_each_other_alone() -> None:
    world = World()
    one = world.canary(interval=600, instance="one")
    world.run(0.1, one)
    other = world.canary(interval=600, instance="other")
    world.run(0.1, other)
    world.take_in()
    assert len(canary_texts(world)) == 2


def test_a_deletion_is_ok_once_it_is_out_of_answers_and_out_of_the_store() -> None:
    world = World()
    looks = StoreLooks(world.holds, never_verified)
    canary = world.canary(looks, interval=2, deletion_interval=30, verify_interval=0)
    ingest, responder, solver = world.ingest(), world.responder(), world.solver()
    world.run(40, canary, ingest.step, responder.step, lambda: turn(solver))
    assert world.outcomes("deletions_total") == {"ok": 2}
    assert world.counted("deletion_seconds_count") == world.counted("erasure_seconds_count") == 2
    assert set(world.outcomes()) == {"ok"}
    assert len(canary_texts(world)) <= 6
    statistics = world.statistics()
    assert not statistics  # there is no answer in its texts, so nothing is learned


def test_without_a_look_at_the_store_out_of_answers_is_enough() -> None:
    world = World()
    canary = world.canary(interval=2, deletion_interval=30)
    ingest, responder = world.ingest(), world.responder()
    world.run(40, canary, ingest.step, responder.step)
    assert world.outcomes("deletions_total") == {"ok": 2}
    assert world.counted("erasure_seconds_count") == 0


def test_what_no_solver_erases_is_still_there_and_a_store_that_is_away_is_not_seen() -> None:
    for look, outcome in ((None, "still-there"), (RedisFailing("the store is away"), "failed")):
        world = World()

        def holds(partition: int, offset: int, world: World = world, look: Exception | None = look) -> bool:
            if look:
                raise look
            return world.holds(partition, offset)

        looks = StoreLooks(holds, never_verified)
        canary = world.canary(looks, interval=2, deletion_interval=30, deletion_timeout=20, verify_interval=0)
        ingest, responder = world.ingest(), world.responder()
        world.run(49, canary, ingest.step, responder.step)
        assert world.outcomes("deletions_total") == {}
        world.run(6, canary, ingest.step, responder.step)
        assert world.outcomes("deletions_total") == {outcome: 2}


def test_a_deleted_text_that_is_answered_with_is_still_there() -> None:
    world = World()
    sent: dict[str, int] = {}

    def remembers_everything(query: Query, _: object) -> list[bytes]:
        ((partition, offset),) = query.min_watermarks.items()
        offset = sent.setdefault(query.text, offset)
        return [right(query.model_copy(update={"min_watermarks": {partition: offset}}), seen=100).encode()]

    canary = world.canary(interval=2, deletion_interval=30)
    world.run(40, canary, world.answering(remembers_everything))
    assert world.outcomes("deletions_total") == {"still-there": 2}
    assert set(world.outcomes()) == {"ok"}


def test_a_deletion_that_nobody_answers_has_failed_and_so_has_one_that_kafka_does_not_take() -> None:
    world = World()
    canary, ingest, responder = (
        world.canary(interval=2, deletion_interval=30),
        world.ingest(),
        world.responder(),
    )
    world.run(29, canary, ingest.step, responder.step)
    world.run(20, canary)
    assert world.outcomes("deletions_total") == {"failed": 2}
    world.run(9, canary, ingest.step, responder.step)
    world.kafka.away = True
    world.run(12, canary)
    assert world.outcomes("deletions_total") == {"failed": 4}


def test_topic_and_store_are_compared_now_and_then() -> None:
    world = World()
    results: list[dict[str, int]] = [{"ok": 90, "different": 0, "unproved": 10}, {"ok": 5, "different": 1}]

    def verify() -> dict[str, int]:
        if not results:
            raise RedisFailing("away")
        return results.pop(0)

    looks = StoreLooks(world.holds, verify)
    canary = world.canary(looks, interval=10, verify_interval=100, verify_offsets=7)
    world.run(29, canary)
    assert world.outcomes("verified_offsets_total") == {}
    world.run(2, canary)
    assert world.outcomes("verified_offsets_total") == {"ok": 90, "unproved": 10}
    world.run(201, canary)
    assert world.outcomes("verified_offsets_total") == {"ok": 95, "different": 1, "unproved": 17}


def test_what_is_remembered_of_replies_is_bounded() -> None:
    replies = OnceOnly()
    for second in range(1_000):
        replies.expect(str(second), second + 10)
        replies.forget(second)
    assert len(replies) <= 71
    replies.forget(10_000)
    assert len(replies) == 0


def test_probes_hardly_resemble_each_other() -> None:
    texts = [set(text_of(f"probe {number}").split()) for number in range(200)]
    shared = [len(one & other) for one, other in pairwise(texts)]
    assert max(shared) < 8
    assert sum(shared) / len(shared) < 3.5  # "canary" among them
    assert text_of("a") == text_of("a") != text_of("b")
