"""Lines that are asked many at once, for `hurnet ask`."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import pytest

from hurnet_schemas import Query, Reply
from hurnet_stream.client import Client
from hurnet_stream.client.over_http import OverHttp
from hurnet_stream.terminal.asking import ask_lines
from hurnet_stream.terminal.lines import Line
from hurnet_stream.terminal.questions import How
from tests.memory.hurnet import MemoryGateway, MemoryHurnet


@pytest.fixture
def hurnet() -> MemoryHurnet:
    return MemoryHurnet()


@pytest.fixture
def client(hurnet: MemoryHurnet) -> Iterator[Client]:
    with Client(OverHttp("http://127.0.0.1:8080", inner=MemoryGateway(hurnet).transport())) as client:
        yield client


def make(text: str) -> Query:
    return How().query(text)


def lines(*texts: str) -> Iterator[Line]:
    for number, text in enumerate(texts, start=1):
        yield Line(number, text.encode(errors="surrogateescape"), len(text))


def test_answers_come_in_the_order_of_the_lines_and_wrong_ones_in_their_place(client: Client) -> None:
    client.teach_many([(f"text {i}", f"answer {i}") for i in range(200)])
    texts = [f"text {i}" for i in range(200)]
    texts[7], texts[9] = "\0", "\udcff"
    asked = list(ask_lines(client, lines(*texts), make, 10, at_once=5))
    assert [each.line.number for each in asked] == list(range(1, 201))
    answers = [each.outcome.answer if isinstance(each.outcome, Reply) else None for each in asked]
    assert answers == [None if i in (7, 9) else f"answer {i}" for i in range(200)]


def test_a_program_may_read_each_answer_before_it_writes_the_next_question(client: Client) -> None:
    typed = queue.Queue[Line | None]()
    asked = ask_lines(client, iter(typed.get, None), make, 10)
    for number in range(3):
        typed.put(Line(number, b"hello", 5))
        assert next(asked).line.number == number
    typed.put(None)
    assert list(asked) == []


def test_no_more_lines_are_read_than_may_be_under_way(client: Client, hurnet: MemoryHurnet) -> None:
    endless = (Line(number, b"hello", 5) for number in range(10**9))
    asked = ask_lines(client, endless, make, 10, at_once=3)
    assert [next(asked).line.number for _ in range(5)] == list(range(5))
    asked.close()
    assert len(hurnet.asked()) <= 5 + 3


def test_what_reading_raises_is_raised_here(client: Client) -> None:
    def broken() -> Iterator[Line]:
        yield Line(1, b"hello", 5)
        raise OSError("the disk is gone")

    asked = ask_lines(client, broken(), make, 10)
    assert next(asked).line.number == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(asked)
