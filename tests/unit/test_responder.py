"""The responder over in-memory adapters: every query answered once, and each answer with its receipt."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from hurnet_schemas import Answer, Coordinates, Query, Receipt
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.search import device as device_scan
from hurnet_stream.core.search import search as scan
from hurnet_stream.errors import (
    ConfigurationError,
    EmbedderMismatch,
    Superseded,
    Unreadable,
    UpgradeNeeded,
)
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.ports import Fault, PublishedWeights
from hurnet_stream.responder.responder import Responder
from hurnet_stream.settings.settings import Settings
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.exchange import MemoryExchange
from tests.memory.weights_store import MemoryWeightsStore
from tests.worlds.responder import EMBEDDER, PAIRS, World, only, turn


def receipt(answer: Answer) -> Receipt:
    assert answer.receipt is not None
    return answer.receipt


def test_weights_on_features_serve_where_the_features_are_the_same() -> None:
    world = World()
    world.teach(*PAIRS)
    world.solve("gaussian:256")
    world.ask(Query(text=PAIRS[0][0]))
    turn(world.responder(features="gaussian:256"))
    answer = only(world.answers())
    assert answer.answer == PAIRS[0][1]
    weights = receipt(answer).weights
    assert weights is not None
    assert weights.features == KernelMap("gaussian:256", EMBEDDER.identity.dimension).identity
    assert (answer.candidates[0].scores.weights or 0) > 0.3


@pytest.mark.parametrize(("solved", "asked"), [("gaussian:256", "none"), ("none", "gaussian:256")])
def test_weights_on_other_features_are_refused_and_questions_still_answered(solved: str, asked: str) -> None:
    world = World()
    world.teach(*PAIRS)
    world.solve(solved)
    world.ask(Query(text=PAIRS[0][0]))
    responder = world.responder(features=asked)
    turn(responder)
    answer = only(world.answers())
    assert answer.answer == PAIRS[0][1]
    assert receipt(answer).weights is None
    assert answer.candidates[0].scores.weights is None
    world.solve(asked)
    world.ask(Query(text=PAIRS[0][0]))
    responder._serving.current.weights._looked_at = 0.0
    turn(responder)
    weights = receipt(world.answers()[-1]).weights
    assert weights is not None
    assert weights.version == 2


def test_an_empty_context_with_weights_on_features_is_no_failure() -> None:
    world = World()
    world.solve("gaussian:256")
    world.ask(Query(text=PAIRS[0][0]))
    turn(world.responder(features="gaussian:256"))
    answer = only(world.answers())
    assert (answer.outcome, answer.reason) == ("abstained", "empty context 'default'")


class Unread(MemoryWeightsStore):
    """Whose weights or versions can't be read for some time."""

    weights_unread = versions_unread = False
    asked = 0

    def weights(self, context: str) -> PublishedWeights | None:
        self.asked += 1
        if self.weights_unread:
            raise UpgradeNeeded("a newer hurnet wrote these weights")
        return super().weights(context)

    def versions(self) -> Mapping[str, int]:
        if self.versions_unread:
            raise Unreadable("no hash")
        return super().versions()


def again(world: World, responder: Responder) -> int | None:
    """The version of the weights that another question is answered with."""
    world.ask(Query(text=PAIRS[0][0]))
    responder._serving.current.weights._looked_at = 0.0
    turn(responder)
    answer = world.answers()[-1]
    assert answer.answer == PAIRS[0][1]
    weights = receipt(answer).weights
    return weights.version if weights else None


def test_weights_that_can_t_be_read_are_refused_once_and_the_last_good_ones_serve() -> None:
    world = World()
    world.teach(*PAIRS)
    responder = world.responder()
    store = Unread(world.redis)
    responder._serving.current.weights._weights = store
    store.weights_unread = True
    world.solve()
    with capture_logs() as logs:
        assert [again(world, responder) for _ in range(3)] == [None] * 3  # the other parts answer
    assert store.asked == 1
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["weights refused"]
    assert 'weights_refused_total{context="default"} 1.0' in responder._metrics.exposition().decode()
    store.weights_unread = False
    world.solve()
    assert again(world, responder) == 2
    store.weights_unread = True
    world.solve()
    assert [again(world, responder) for _ in range(3)] == [2] * 3
    store.weights_unread, store.versions_unread = False, True
    world.solve()
    with capture_logs() as logs:
        assert [again(world, responder) for _ in range(3)] == [2] * 3
    assert len([line for line in logs if line["log_level"] == "error"]) == 1
    store.versions_unread = False
    assert again(world, responder) == 4


def test_weights_of_another_dimension_are_refused() -> None:
    world = World()
    world.teach(*PAIRS)
    world.solve()
    published = world.redis.data.weights["default"]
    small = replace(published, weights=replace(published.weights, projection=np.eye(3)))
    world.redis.data.weights["default"] = small
    assert again(world, world.responder()) is None


def test_withdrawn_weights_are_asked_for_once_and_leave_no_series() -> None:
    world = World()
    world.teach(*PAIRS)
    world.solve()
    responder = world.responder()
    responder._serving.current.weights._weights = store = Unread(world.redis)
    assert again(world, responder) == 1
    assert "weights_version{" in responder._metrics.exposition().decode()
    solver = MemoryWeightsStore(world.redis)
    solver.claim("test")
    solver.withdraw("default", 2)
    assert [again(world, responder) for _ in range(3)] == [None] * 3
    assert store.asked == 2
    shown = responder._metrics.exposition().decode()
    for series in ("weights_version{", "weights_published_timestamp_seconds{", "certificate{"):
        assert f"hurnet_{series}" not in shown


def test_similarity_in_lp_is_asked_for_by_a_setting() -> None:
    query, found = Query(text=PAIRS[1][0]), []
    for p in (2.0, 1.5):
        world = World()
        world.teach(*PAIRS)
        world.ask(query)
        turn(world.responder(p=p))
        found.append(only(world.answers()))
    cosine, mapped = found
    assert cosine.answer == mapped.answer == PAIRS[1][1]
    assert receipt(cosine).p is None
    assert receipt(mapped).p == 1.5
    vector = EMBEDDER.embed([query.text])[0] / SCALE
    dual = np.sign(vector) * np.abs(vector) ** 0.5
    expected = vector @ dual / (np.linalg.norm(vector) * np.linalg.norm(dual))
    assert cosine.candidates[0].scores.memory == pytest.approx(1)
    assert mapped.candidates[0].scores.memory == pytest.approx(expected, abs=1e-3)


def test_threads_are_a_setting_and_change_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    used, searched = [], scan.search

    def search(*arguments: Any) -> list[scan.Nearest]:
        used.append(arguments[4])
        return searched(*arguments)

    monkeypatch.setattr(scan, "search", search)
    monkeypatch.setattr(scan, "_SHARE", 1)  # products: also for few rows
    for threads in (1, 3):
        world = World()
        world.teach(*PAIRS)
        world.ask(Query(text=PAIRS[1][0]))
        turn(world.responder(threads=threads))
        assert only(world.answers()).answer == PAIRS[1][1]
        assert used.pop() == threads


def test_an_answer_and_its_receipt() -> None:
    world = World()
    world.teach(*PAIRS)
    world.solve()
    world.ask(Query(text="turn the light on in the kitchen", id="q-1", top_k=2))
    turn(world.responder())
    answer = only(world.answers())
    assert (answer.id, answer.outcome, answer.answer) == ("q-1", "answered", "on")
    assert len(answer.candidates) == 2
    best = answer.candidates[0]
    assert (best.entry, best.text, best.metadata) == (
        Coordinates(partition=0, offset=0),
        PAIRS[0][0],
        {"n": "0"},
    )
    assert best.scores.weights is not None
    receipt = answer.receipt
    assert receipt
    assert (receipt.query, receipt.rows, receipt.watermarks) == (
        "queries/0/0",
        len(PAIRS),
        {0: len(PAIRS) - 1},
    )
    assert receipt.fingerprint == EMBEDDER.identity.fingerprint
    assert receipt.weights
    assert (receipt.weights.version, receipt.weights.count) == (1, len(PAIRS))
    assert receipt.margin == pytest.approx(best.scores.combined - answer.candidates[1].scores.combined)
    assert receipt.runner_up == answer.candidates[1].answer


@pytest.mark.parametrize("solved", [True, False])
def test_the_combined_score_can_be_computed_from_the_answer_alone(solved: bool) -> None:
    world = World()
    world.teach(*PAIRS)
    if solved:
        world.solve()
    world.ask(Query(text="turn the light on in the kitchen", top_k=100))
    turn(world.responder())
    answer = Answer.decode(only(world.answers()).encode())  # as a client reads it
    nearest, mix = receipt(answer).nearest, receipt(answer).mix
    assert mix is not None
    assert nearest == max(candidate.scores.memory for candidate in answer.candidates)
    assert len(answer.candidates) > 1
    for candidate in answer.candidates:
        scores = candidate.scores
        assert (scores.weights is not None) == solved
        evidence = mix.meaning * scores.meaning**2 + (1 - mix.meaning) * scores.spelling**2
        evidence += mix.memory * scores.memory + mix.lexical * scores.lexical**2 + mix.words * scores.words**2
        total = 1 + mix.memory + mix.lexical + mix.words
        if scores.weights is not None:
            evidence, total = evidence + mix.weights * scores.weights**2, total + mix.weights
        assert scores.combined == pytest.approx(((evidence / total) ** 0.5 + nearest) / 2)


def test_without_weights_the_rule_goes_without_them() -> None:
    world = World()
    world.teach(*PAIRS)
    world.ask(Query(text="turn on the kitchen light"))
    turn(world.responder())
    answer = only(world.answers())
    assert answer.answer == "on"
    assert answer.candidates[0].scores.weights is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (Query(text="anything"), "empty context 'default'"),
        (Query(text="anything", context="elsewhere"), "empty context 'elsewhere'"),
    ],
)
def test_an_empty_context_abstains(query: Query, said: str) -> None:
    world = World()
    world.ask(query)
    turn(world.responder())
    answer = only(world.answers())
    assert (answer.outcome, answer.answer, answer.reason) == ("abstained", None, said)
    assert answer.candidates == []


def test_what_is_unlike_anything_known_abstains_and_says_how_near_it_was() -> None:
    world = World()
    world.teach(*PAIRS)
    world.ask(Query(text="zxqv jjj"))
    turn(world.responder(threshold=0.9))
    answer = only(world.answers())
    assert answer.outcome == "abstained"
    assert (answer.reason or "").startswith("best was 0.")
    assert answer.candidates[0].scores.combined < 0.9


def test_the_askers_own_entry_does_not_answer_it() -> None:
    world = World()
    world.teach(*PAIRS)
    own = Query(text=PAIRS[3][0], exclude=Coordinates(partition=0, offset=3))
    world.ask(own)
    turn(world.responder(threshold=0.0))
    assert only(world.answers()).candidates[0].entry != own.exclude


def test_contexts_are_apart() -> None:
    world = World()
    world.teach(("turn on the kitchen light", "home"), context="a")
    world.teach(("turn on the kitchen light", "hotel"), context="b", partition=1)
    world.ask(Query(text="turn on the kitchen light", context="b"))
    turn(world.responder())
    assert only(world.answers()).answer == "hotel"


def test_replies_go_where_asked_with_the_correlation_id_and_the_key() -> None:
    world = World()
    world.teach(*PAIRS)
    world.ask(Query(text="rain"), headers=(("reply-to", b"answers-mine"), ("correlation-id", b"c-9")))
    turn(world.responder())
    assert world.answers() == []
    (record,) = world.kafka.records("answers-mine")
    assert record.header("correlation-id") == b"c-9"
    assert record.key == b"key"
    assert Answer.decode(record.value).id == "c-9"


@pytest.mark.parametrize(
    ("reply_to", "reason"),
    [
        (b"texts", "reply-topic-refused"),
        (b"answers-nowhere", "reply-topic-missing"),
        (b"\xff\xff", "reply-topic-refused"),
    ],
)
def test_replies_go_nowhere_else(reply_to: bytes, reason: str) -> None:
    world = World()
    world.teach(*PAIRS)
    world.ask(Query(text="rain", id="q"), headers=(("reply-to", reply_to),))
    turn(world.responder())
    answer = only(world.answers())
    assert answer.outcome == "rejected"
    assert (answer.reason or "").startswith(reason)
    (letter,) = world.dead_letters()
    assert (letter.reason, letter.topic, letter.worker) == (reason, "queries", "responder")


@pytest.mark.parametrize("raw", [b"nonsense", b"\xff", b'{"text": " "}', b'{"text": "hi", "top_k": 1000}'])
def test_a_bad_query_is_put_aside_and_answered_with_the_reason(raw: bytes) -> None:
    world = World()
    world.ask(raw, headers=(("correlation-id", b"c-1"),))
    turn(world.responder())
    answer = only(world.answers())
    assert (answer.id, answer.outcome) == ("c-1", "rejected")
    (letter,) = world.dead_letters()
    assert (answer.reason or "").startswith(letter.reason)


def test_queries_that_cannot_be_unpacked_are_put_aside_and_passed() -> None:
    world = World()
    world.teach(*PAIRS)
    world.ask(Query(text="turn on the light", id="before"))
    world.kafka.damage("queries", 0, 3, Fault("unreadable", "damaged", 0, 9, b"excerpt", "s"))
    world.ask(Query(text="turn on the light", id="behind"))
    turn(world.responder())
    assert [answer.id for answer in world.answers() if answer.outcome != "rejected"] == ["before", "behind"]
    (letter,) = world.dead_letters()
    assert (letter.first_offset, letter.offset, letter.reason) == (1, 3, "unreadable")
    assert world.kafka.group("queries", "responders").committed[0] == 5


def test_a_query_sees_what_it_asks_to_see() -> None:
    world = World()
    world.teach(*PAIRS)
    responder = world.responder()
    world.ask(Query(text="brand new", min_watermarks={0: len(PAIRS)}))
    turn(responder)
    assert world.answers() == []
    world.teach(("brand new", "seen"))
    turn(responder)
    assert only(world.answers()).answer == "seen"


def test_a_query_that_waits_in_vain_is_told_so_and_others_go_on() -> None:
    world = World()
    world.teach(*PAIRS)
    responder = world.responder()
    world.ask(Query(text="rain", id="waits", min_watermarks={1: 3}, timeout_ms=3_000))
    world.ask(Query(text="rain", id="other"), partition=1)
    turn(responder)
    assert [answer.id for answer in world.answers()] == ["other"]
    time.sleep(3.02)
    turn(responder)
    waited = next(answer for answer in world.answers() if answer.id == "waits")
    assert waited.outcome == "timed-out"
    assert "partition 1 has reached nothing, not 3" in (waited.reason or "")


def test_nothing_is_answered_before_the_context_is_loaded() -> None:
    world = World()
    for _ in range(40):
        world.teach(*PAIRS)
    world.ask(Query(text="rain"))
    responder = world.responder()
    responder.step()
    assert responder.unready() == ["loading the store"]
    assert world.answers() == []
    turn(responder)
    receipt = only(world.answers()).receipt
    assert receipt
    assert receipt.rows == 40 * len(PAIRS)


def test_a_delivery_that_is_rolled_back_is_made_again_and_counts_once() -> None:
    world = World()
    world.teach(*PAIRS)
    world.ask(*[Query(text="rain", id=f"q{i}") for i in range(10)])
    world.kafka.fail(3)
    turn(world.responder(batch=3), 20)
    assert Counter(answer.id for answer in world.answers()) == Counter(f"q{i}" for i in range(10))


def test_two_responders_of_one_name_do_not_both_answer() -> None:
    world = World()
    world.teach(*PAIRS)
    first = world.responder()
    turn(first)
    second = world.responder()
    world.ask(*[Query(text="rain", id=f"q{i}") for i in range(6)])
    world.ask(*[Query(text="rain", id=f"p{i}") for i in range(6)], partition=1)

    def both() -> None:
        for _ in range(10):
            turn(second, 1)
            turn(first, 1)

    with pytest.raises(Superseded, match="one"):
        both()
    first.close()
    turn(second, 20)
    assert sorted(a.id for a in world.answers()) == sorted(f"{x}{i}" for x in "pq" for i in range(6))


def test_another_embedder_is_refused() -> None:
    world = World()
    stores = (MemoryEntryStore(world.redis), MemoryWeightsStore(world.redis))
    exchange = MemoryExchange(world.kafka, "queries", "responders", "x")
    with pytest.raises(EmbedderMismatch):
        Responder(exchange, *stores, HashedText(64), Settings(), ResponderMetrics())


@pytest.mark.parametrize("fails", [False, True])
def test_a_device_that_searches_changes_no_answer_and_neither_does_its_failure(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch's CPU in the place of a GPU, whose memory is full once the store has been loaded."""
    monkeypatch.setattr(
        device_scan, "search_device", lambda _, failed: device_scan.Device(torch.device("cpu"), failed)
    )

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    def asked(device: str) -> tuple[list[str], list[str], float]:
        world = World()
        world.teach(*PAIRS)
        world.solve()
        responder = world.responder(device=device)
        with capture_logs() as logs:
            turn(responder)
            with monkeypatch.context() as patched:
                if fails:
                    patched.setattr(torch, "topk", full)  # which the host's search does without
                world.ask(*(Query(text=text, id=text) for text, _ in PAIRS))
                turn(responder)
        same = {"seconds": 0.0, "store": None}  # but for these, each world has its own
        timeless = [receipt(a).model_copy(update=same) for a in world.answers()]
        answers = [
            a.model_copy(update={"receipt": r}) for a, r in zip(world.answers(), timeless, strict=True)
        ]
        said = [log["searched_by"] for log in logs if "searched_by" in log]
        failed = [log["reason"] for log in logs if log["event"].startswith("the device failed")]
        assert failed == ["out of memory"] * (fails and device == "cuda")
        count = responder._metrics.registry.get_sample_value("hurnet_device_failures_total")
        return [answer.model_dump_json() for answer in answers], said, count or 0.0

    on_host, on_device = asked("cpu"), asked("cuda")
    assert len(on_host[0]) == len(PAIRS)
    assert on_host[0] == on_device[0]
    assert on_host[1][0] in ("kernels", "libraries")
    assert on_device[1:] == (["cpu"], float(fails))


def test_a_device_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigurationError, match=r"HURNET_RESPONDER_DEVICE: there is no device 'cuda' here"):
        World().responder(device="cuda")


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_interleaving_of_responders_crashes_and_aborts_answers_each_query_once(
    data: st.DataObject,
) -> None:
    world = World()
    world.teach(*PAIRS)
    responders: list[Responder] = []
    asked = born = 0
    for _ in range(data.draw(st.integers(1, 25))):
        act = data.draw(st.sampled_from(["ask", "ask", "start", "crash", "abort", "step", "step", "step"]))
        if act == "ask":
            world.ask(Query(text="rain", id=f"q{asked}"), partition=asked % 2)
            asked += 1
        elif act == "start" and len(responders) < 3:
            responders.append(world.responder(f"r{born}", batch=data.draw(st.integers(1, 4))))
            born += 1
        elif act == "crash" and responders:
            responders.pop(data.draw(st.integers(0, len(responders) - 1))).close()
        elif act == "abort":
            world.kafka.fail(1)
        elif act == "step" and responders:
            turn(responders[data.draw(st.integers(0, len(responders) - 1))], 1)
    for responder in responders:
        responder.close()
    turn(world.responder("last"), 40)
    assert Counter(answer.id for answer in world.answers()) == Counter(f"q{i}" for i in range(asked))
