"""What `hurnet forget` and `hurnet contexts` ask for, and how they tell what became of it."""

from __future__ import annotations

from dataclasses import replace

import click
import pytest

from hurnet_schemas.places import Place
from hurnet_stream.commands.forget import Asked, requests_of
from hurnet_stream.core.places import CHUNKS_MOST, SPAN, Topics
from hurnet_stream.core.stored.batch import MOST_TARGETS, Deletion
from hurnet_stream.operations.deletion_requests import Deletable
from hurnet_stream.places import Places
from hurnet_stream.ports import Checkpoint, DeletionAudit, Outgoing, Record
from hurnet_stream.records import parse_record
from hurnet_stream.settings.topics import TopicSettings
from hurnet_stream.terminal.deleting import Reach, Request, described, follow, untouched
from tests.memory.redis import MemoryRedis
from tests.memory.weights_store import MemoryWeightsStore


def unlearned(partition: int, offset: int, entries: int = 1) -> DeletionAudit:
    return DeletionAudit(partition, Deletion(offset, 0, b"k" * 16), 1, 0, {}, {}, entries)


def reaching(ends: dict[int, int], topics: Topics | None = None, **writable: bool) -> Reach:
    """`writable` says of other topics whether they are."""
    tables = {name: TopicSettings(writable=each) for name, each in writable.items()}
    return Reach(Places.of(topics or Topics({}), "texts"), Deletable("texts", tables), lambda _topic: ends)


def as_record(message: Outgoing, offset: int = 99) -> Record:
    at = message.topic, message.partition or 0, offset, 0
    return Record(*at, message.key, message.value, message.headers)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asked((), (), None, False), "Name what to forget"),
        (Asked((Place(None, 0, 1),), (), "faq", False), "for a --key"),
        (Asked((Place(None, 0, 1),), (), None, True), "for a --key"),
        (Asked((), ("k",), "faq", True), "Choose between"),
    ],
)
def test_options_that_do_not_go_together(asked: Asked, words: str) -> None:
    with pytest.raises(click.UsageError, match=words):
        asked.check(as_log=False)


def test_a_name_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(click.BadParameter, match="up to 64"):
        _ = Asked((), ("k",), "*", False).header
    assert Asked((), ("k",), None, False).header == "default"
    assert Asked((), ("k",), None, True).header == "*"


def test_a_key_is_deleted_in_all_partitions_and_in_its_context() -> None:
    (wanted,) = requests_of(reaching({0: 5, 1: 9}), Asked((), ("k",), "faq", False))
    assert [(m.partition, m.key, m.value, m.headers) for m in wanted.messages] == [
        (p, b"k", None, (("context", b"faq"),)) for p in (0, 1)
    ]
    deletions = [parse_record(as_record(message)) for message in wanted.messages]
    assert [deletion.context for deletion in deletions] == ["faq", "faq"]


def test_a_key_of_any_bytes_can_be_typed() -> None:
    typed = b"\xff\xfek".decode(errors="surrogateescape")
    (wanted,) = requests_of(reaching({0: 5}), Asked((), (typed,), None, False))
    assert wanted.messages[0].key == b"\xff\xfek"


def test_an_entry_beyond_the_end_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="no record 0/5"):
        list(requests_of(reaching({0: 5}), Asked([Place(None, 0, 5)], (), None, False)))
    (wanted,) = requests_of(reaching({0: 5}), Asked([Place(None, 0, 4)], (), None, False))
    deletion = parse_record(as_record(wanted.messages[0]))
    assert isinstance(deletion, Deletion)
    assert deletion.targets == (4,)


def test_only_the_audits_asked_for_are_read_and_what_is_late_is_not_settled() -> None:
    server = MemoryRedis()
    store = MemoryWeightsStore(server)
    store.claim("solver")
    done = [unlearned(0, 7), unlearned(1, 3, 0), unlearned(0, 8, 5)]
    store.save_checkpoint(Checkpoint(unlearned=done))
    one, late = Request("one", [], [(0, 7), (1, 3)]), Request("late", [], [(0, 9)])
    assert [u.deletion.offset for u in follow(store, [one, late], 0.0)] == [7, 3]
    assert (one.done, one.deleted, late.done, late.deleted) == (True, 1, False, 0)


def test_what_is_told_of_very_many_is_bounded() -> None:
    said = described(
        DeletionAudit(0, Deletion(9, 0, None, tuple(range(MOST_TARGETS)), "faq", 200), 1, 3, {}, {}, 200_000),
        Places.only("texts"),
    )
    assert (said["deleted"], said["context"], len(said["entries"])) == (200_000, "faq", MOST_TARGETS)


def test_an_entry_of_another_topic_is_deleted_there_if_its_table_says_so() -> None:
    topics, asked = Topics({"tickets": 1}), Asked([Place("tickets", 0, 4)], (), None, False)
    (wanted,) = requests_of(reaching({0: 5}, topics, tickets=True), asked)
    (message,) = wanted.messages
    assert (message.topic, message.partition, message.headers) == ("tickets", 0, (("forget", b"4"),))
    deletion = parse_record(replace(as_record(message), number=1))
    assert isinstance(deletion, Deletion)
    assert deletion.targets == tuple(range(4 * SPAN, 4 * SPAN + CHUNKS_MOST + 1))


NUMBERED = Topics({"tickets": 1})


@pytest.mark.parametrize(
    ("place", "within", "why"),
    [
        (Place("tickets", 0, 4), reaching({0: 5}, NUMBERED, tickets=False), "at its source"),
        (Place("tickets", 0, 4), reaching({0: 5}, NUMBERED), "not in the settings here"),
        (Place("tickets", 0, 4), reaching({0: 5}), "reads no topic 'tickets' here"),
        (Place("tickets", 0, 9), reaching({0: 5}, NUMBERED, tickets=True), "no record 0/9"),
        (
            Place("tickets", 0, 4, 2),
            reaching({0: 5}, NUMBERED, tickets=True),
            "forgotten whole",
        ),
        (Place(None, 0, 4, 2), reaching({0: 5}), "has no entry 2"),
    ],
)
def test_what_can_not_be_deleted_is_refused_with_what_to_do(place: Place, within: Reach, why: str) -> None:
    with pytest.raises(click.BadParameter, match=why):
        list(requests_of(within, Asked([place], (), None, False)))


def test_a_key_is_deleted_wherever_that_may_be_written_and_the_others_are_told() -> None:
    within = reaching({0: 5}, Topics({"tickets": 1, "orders": 2}), tickets=True, orders=False, absent=True)
    (wanted,) = requests_of(within, Asked((), ("k",), None, False))
    assert [(m.topic, m.key) for m in wanted.messages] == [
        ("texts", b"k"),
        ("tickets", b"k"),
    ]
    assert "not asked: orders" in untouched(within, "the key")
    assert untouched(reaching({0: 5}), "the key") == ""
