"""Futures of questions and records under way."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError

import pytest

from hurnet_schemas import Answer, Coordinates, Query
from hurnet_stream.client.switchboard import NoReply, NotSent, Switchboard
from hurnet_stream.errors import UpgradeNeeded
from hurnet_stream.ports import Acknowledged, News, Outgoing, Replied, Undelivered
from hurnet_stream.settings.settings import KafkaSettings


class HandCourier:
    """A courier whose news come by hand."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, Outgoing]] = []
        self.news: queue.Queue[News] = queue.Queue()

    def post(self, ticket: str, message: Outgoing) -> None:
        self.posted.append((ticket, message))

    def receive(self, timeout_s: float) -> Sequence[News]:
        try:
            return [self.news.get(timeout=timeout_s)]
        except queue.Empty:
            return []

    def partitions(self, topic: str) -> int:
        return 1

    def trouble(self) -> str | None:
        return None

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture
def courier() -> HandCourier:
    return HandCourier()


@pytest.fixture
def board(courier: HandCourier, monkeypatch: pytest.MonkeyPatch) -> Iterator[Switchboard]:
    monkeypatch.setattr("hurnet_stream.client.switchboard.LISTEN_S", 0.01)
    switchboard = Switchboard(courier, KafkaSettings())
    yield switchboard
    switchboard.close()


def answer(text: str) -> bytes:
    return Answer(id="q", outcome="answered", answer=text).encode()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_each_reply_reaches_its_own_question(courier: HandCourier, board: Switchboard) -> None:
    first, second = board.ask(Query(text="one?")), board.ask(Query(text="two?"))
    (ticket_1, message), (ticket_2, _) = courier.posted
    assert dict(message.headers)["reply-to"] == b"answers"
    courier.news.put(Replied("somebody-else", answer("nothing"), 0.0, "answers/0/6"))
    courier.news.put(Replied(ticket_2, answer("second"), 0.0, "answers/0/7"))
    courier.news.put(Replied(ticket_1, answer("first"), 0.0, "answers/0/8"))
    assert (first.result(20).answer, first.result().question) == ("first", "one?")
    assert (second.result(20).answer, second.result().record) == ("second", "answers/0/7")
    until(lambda: board.waiting == 0)


def test_a_record_of_somebody_elses_making_answers_nothing(courier: HandCourier, board: Switchboard) -> None:
    asked = board.ask(Query(text="one?"))
    ticket = courier.posted[0][0]
    courier.news.put(Replied(ticket, b"no answer at all", 0.0, "answers/0/7"))
    courier.news.put(Replied(ticket, answer("right"), 0.0, "answers/0/8"))
    assert asked.result(20).answer == "right"


def test_an_answer_from_a_newer_program_says_so(courier: HandCourier, board: Switchboard) -> None:
    asked = board.ask(Query(text="one?"))
    courier.news.put(Replied(courier.posted[0][0], b'{"v": 2}', 0.0, "answers/0/7"))
    with pytest.raises(UpgradeNeeded):
        asked.result(20)


def test_records_have_their_places_or_a_reason(courier: HandCourier, board: Switchboard) -> None:
    sent, refused = (board.send(Outgoing("texts", b"{}")) for _ in range(2))
    courier.news.put(Acknowledged(courier.posted[0][0], 1, 41, 0.0))
    courier.news.put(Undelivered(courier.posted[1][0], "no such topic", 0.0))
    assert sent.result(20) == Coordinates(partition=1, offset=41)
    with pytest.raises(NotSent, match="no such topic"):
        refused.result(20)


def test_whoever_hangs_up_is_forgotten(courier: HandCourier, board: Switchboard) -> None:
    asked = board.ask(Query(text="one?"))
    assert asked.cancel()
    assert board.waiting == 0
    courier.news.put(Replied(courier.posted[0][0], answer("late"), 0.0, "answers/0/7"))
    with pytest.raises(CancelledError):
        asked.result(20)


def test_a_question_is_untaken_until_its_courier_tells_even_if_nobody_waits_for_it(
    courier: HandCourier, board: Switchboard
) -> None:
    assert board.untaken_s() == 0
    for text in ("one?", "two?"):
        assert board.ask(Query(text=text)).cancel()
    until(lambda: board.untaken_s() > 0)
    courier.news.put(Acknowledged(courier.posted[0][0], 0, 7, 0.0))
    courier.news.put(Undelivered(courier.posted[1][0], "no broker answers", 0.0))
    until(lambda: board.untaken_s() == 0)


def test_news_that_got_lost_do_not_count_for_ever(
    courier: HandCourier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hurnet_stream.client.switchboard.LISTEN_S", 0.01)
    board = Switchboard(courier, KafkaSettings(request_timeout=0.1))
    board.ask(Query(text="one?"))
    until(lambda: board.untaken_s() == 0)
    board.close()


def test_what_nobody_answers_ends(
    courier: HandCourier, board: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hurnet_stream.client.switchboard.LONGEST_S", 0.0)
    with pytest.raises(NoReply):
        board.ask(Query(text="one?")).result(20)


def test_closing_ends_all_that_wait(courier: HandCourier) -> None:
    board = Switchboard(courier, KafkaSettings())
    asked, sent = board.ask(Query(text="one?")), board.send(Outgoing("texts", b"{}"))
    board.close()
    with pytest.raises(NoReply):
        asked.result(0)
    with pytest.raises(NotSent):
        sent.result(0)
