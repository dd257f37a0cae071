"""The list of what is asked often and answered never."""

from __future__ import annotations

import pytest

from hurnet_schemas import Answer, Query, Receipt
from hurnet_stream.operations.unanswered import Question, newest, outcomes, reply_topics, unanswered
from hurnet_stream.ports import Outgoing, Record
from tests.memory.history import MemoryHistory
from tests.memory.kafka import MemoryKafka


def asked(number: int, text: str, context: str = "default") -> Record:
    query = Query(text=text, context=context)
    return Record(
        "queries", 0, number, 1_000 + number, None, query.encode(), (("reply-to", b"answers-mine"),)
    )


def answered(number: int, outcome: str) -> Record:
    receipt = Receipt(
        query=f"queries/0/{number}",
        context="default",
        rows=1,
        embedder="e",
        fingerprint="f",
        watermarks={},
        threshold=0.3,
        seconds=0.1,
    )
    scored = outcome in ("answered", "abstained")
    answer = Answer(id=str(number), outcome=outcome, receipt=receipt if scored else None)
    return Record("answers", 0, number, 0, None, answer.encode())


def test_the_most_frequent_comes_first_and_what_was_answered_once_does_not_come() -> None:
    queries = [
        *(asked(0, "how to pay?"), asked(1, "where are you"), asked(2, "How to  PAY?"), asked(3, "hello")),
        *(asked(4, "where are you"), asked(5, "how to pay?", context="other"), asked(6, "where are you")),
    ]
    said = ["abstained", "abstained", "abstained", "timed-out", "answered", "abstained", "abstained"]
    found = outcomes(answered(number, outcome) for number, outcome in enumerate(said))
    assert unanswered(queries, found) == [
        Question("How to  PAY?", "default", 2, 1_002),
        Question("how to pay?", "other", 1, 1_005),
    ]
    assert [question.asked for question in unanswered(queries, found, times_min=2)] == [2]


def test_what_is_no_answer_or_has_none_yet_is_passed_over() -> None:
    garbage = [Record("answers", 0, 0, 0, None, None), Record("answers", 0, 1, 0, None, b"no json")]
    assert outcomes(garbage) == {}
    assert unanswered([asked(0, "hi"), Record("queries", 0, 1, 0, None, b"garbage")], {}) == []


def test_replies_are_looked_for_where_they_were_asked_for() -> None:
    queries = [asked(0, "hi"), Record("queries", 0, 1, 0, None, b"")]
    assert reply_topics(queries, r"answers([._-].*)?") == {"answers-mine"}


@pytest.mark.parametrize("topic", [b"texts", b"", b"answers-\x00", b"answers-" + b"a" * 999, b"\xff", b"."])
def test_no_topic_is_read_that_answers_may_not_go_to(topic: bytes) -> None:
    query = Record("queries", 0, 0, 0, None, None, (("reply-to", topic),))
    assert reply_topics([query], r"answers([._-].*)?") == set()


def test_a_receipt_that_names_what_is_no_query_is_passed_over() -> None:
    garbage = Record("queries", 0, 1, 0, None, b"garbage")
    found = outcomes([answered(0, "abstained"), answered(1, "abstained")])
    assert [question.text for question in unanswered([asked(0, "hi"), garbage], found)] == ["hi"]


def test_only_the_newest_records_are_read() -> None:
    kafka = MemoryKafka()
    kafka.create("texts", 2)
    kafka.append([Outgoing("texts", b"%d" % number, partition=0) for number in range(10)])
    read = [record.value for record in newest(MemoryHistory(kafka), records_max=4)]
    assert read == [b"6", b"7", b"8", b"9"]
