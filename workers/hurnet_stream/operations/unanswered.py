"""Which questions are asked often and answered never: what to teach next.

Queries and answers are joined by the query's coordinates, which each receipt names:

    queries/0/7   "how do I pay?"     answers: queries/0/7 abstained
    queries/1/3   "How do I  pay?"    answers: queries/1/3 abstained      -> "how do I pay?", asked 2 times
    queries/0/8   "where are you"     answers: queries/0/8 answered       -> not in the list, ever

A question that was rejected or timed out was not looked into, and does not count. Kafka keeps both topics for
a day, so that is how far back one can look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from hurnet_schemas import Answer, InvalidMessage, Query
from hurnet_schemas.query import WAITING
from hurnet_stream.feedback.lessons import same_question
from hurnet_stream.ports import REPLY_TO, History, OffsetRange, Record
from hurnet_stream.settings.types import is_topic, matches

RECORDS_MAX: Final = 50_000
"""The newest records of each partition that are read."""


@dataclass(slots=True)
class Question:
    """A question as it was asked last, in milliseconds since 1970, and how often. `nearest` is the best
    answer that was not good enough, if the last abstention showed one."""

    text: str
    context: str
    asked: int = 0
    last_ms: int = 0
    nearest: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one query."""

    answered: bool
    nearest: str | None


def newest(history: History, records_max: int = RECORDS_MAX) -> Iterator[Record]:
    """The newest records of each partition, oldest first."""
    for partition, held in sorted(history.offset_ranges().items()):
        yield from _read(history, partition, OffsetRange(max(held.first, held.end - records_max), held.end))


def _read(history: History, partition: int, wanted: OffsetRange) -> Iterator[Record]:
    if wanted.first < wanted.end:
        for block in history.read(partition, wanted.first, wanted.end - 1):
            yield from block


def reply_topics(queries: Iterable[Record], allowed: str) -> set[str]:
    """The topics that these queries name for their answers, if answers may go there: `allowed` is the regular
    expression of the settings. Clients write what they like."""
    named = {record.header(REPLY_TO) or b"" for record in queries}
    topics = {topic.decode(errors="replace") for topic in named}
    return {topic for topic in topics if is_topic(topic) and matches(allowed, topic)}


def outcomes(answers: Iterable[Record]) -> dict[str, Outcome]:
    """What became of each query that was looked into, by its coordinates. What is no answer is passed
    over."""
    found: dict[str, Outcome] = {}
    for record in answers:
        try:
            answer = Answer.decode(record.value)
        except InvalidMessage:
            continue
        if answer.receipt:
            nearest = answer.candidates[0].answer if answer.candidates else None
            found[answer.receipt.query] = Outcome(answer.outcome == "answered", nearest)
    return found


def unanswered(queries: Iterable[Record], found: Mapping[str, Outcome], times_min: int = 1) -> list[Question]:
    """The questions that were looked into at least `times_min` times and never answered, the most frequent
    first."""
    questions: dict[tuple[str, str], Question] = {}
    answered: set[tuple[str, str]] = set()
    for record in queries:
        outcome = found.get(record.coordinates)
        if outcome is None:
            continue
        try:
            query = Query.decode(record.value)
        except InvalidMessage:  # a receipt is of another log of queries, or anybody's invention
            continue
        if query.id == WAITING:
            continue
        key = query.context, same_question(query.text)
        if outcome.answered:
            answered.add(key)
            questions.pop(key, None)
        elif key not in answered:
            _count(questions.setdefault(key, Question(query.text, query.context)), query, record, outcome)
    often = [question for question in questions.values() if question.asked >= times_min]
    return sorted(often, key=lambda question: (-question.asked, -question.last_ms, question.text))


def _count(question: Question, query: Query, record: Record, outcome: Outcome) -> None:
    question.asked += 1
    if record.timestamp_ms >= question.last_ms:
        question.text, question.last_ms = query.text, record.timestamp_ms
        question.nearest = outcome.nearest
