"""k distinct answers for a query that asks for k, however many near duplicates the first one has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hurnet_stream.core.grid import snap
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.native import disabled, library
from hurnet_stream.core.rule import deepening, neighbourhood
from hurnet_stream.core.rule import parts as parts_module
from hurnet_stream.core.rule.rule import Ranking, nearest, ranked
from hurnet_stream.core.stored.batch import Entry

D = 16
Rows = NDArray[np.int16]


@pytest.fixture(params=["kernels", "portable"], autouse=True)
def native(request: pytest.FixtureRequest) -> Iterator[None]:
    """Everything here holds with the kernels and without them."""
    if request.param == "kernels" and library() is None:
        pytest.skip("no kernels were built")
    with nullcontext() if request.param == "kernels" else disabled():
        yield


def context(rows: Rows, answers: list[str]) -> ContextIndex:
    index = ContextIndex(rows.shape[1])
    entries = [Entry(i, 0, "c", f"text {i}", answer) for i, answer in enumerate(answers)]
    index.append(0, entries, rows)
    return index


def ask(index: ContextIndex, question: Rows) -> Ranking:
    return next(ranked(["?"], nearest(question, index), index))


def answers_of(ranking: Ranking, k: int) -> list[str]:
    return [candidate.answer for candidate in ranking.top(k)]


def test_ten_thousand_near_duplicates_hide_no_other_answer() -> None:
    random = np.random.default_rng(0)
    question, others = random.normal(size=(1, D)), random.normal(size=(4, D))
    rows = snap(np.concatenate([question + 0.01 * random.normal(size=(10_000, D)), others]))
    index = context(rows, ["same"] * 10_000 + ["a", "b", "c", "d"])
    ranking = ask(index, snap(question))
    assert [candidate.answer for candidate in ranking.candidates] == ["same"]
    found = ranking.top(3)
    assert [candidate.answer for candidate in found[:1]] == ["same"]
    wide = rows[10_000:].astype(np.float64)
    cosines = wide @ snap(question)[0] / np.linalg.norm(wide, axis=1)
    assert {c.answer for c in found[1:]} == {"abcd"[i] for i in np.argsort(-cosines)[:2]}
    assert all(c.scores.meaning == c.scores.spelling == c.scores.words == 0 for c in found[1:])
    assert sorted(answers_of(ranking, 100)) == ["a", "b", "c", "d", "same"]


def test_what_it_takes_is_bounded_by_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer has more near duplicates than a search brings, so each takes a search of its own."""
    monkeypatch.setattr(deepening, "NEIGHBOURS", 4)
    monkeypatch.setattr(neighbourhood, "NEIGHBOURS", 4)
    monkeypatch.setattr(parts_module, "RARE", 4)
    random = np.random.default_rng(1)
    rows = snap(np.repeat(random.normal(size=(9, D)), 8, axis=0))
    index = context(rows, [answer for answer in "abcdefghi" for _ in range(8)])
    searches = 0
    search = ContextIndex.search

    def counted(*arguments: object, **named: object) -> object:
        nonlocal searches
        searches += 1
        return search(*arguments, **named)  # type: ignore[arg-type]

    ranking = ask(index, rows[:1])
    monkeypatch.setattr(ContextIndex, "search", counted)
    known = len(ranking.candidates)
    assert len(set(answers_of(ranking, 6))) == 6
    assert searches <= 6 - known
    searches = 0
    assert answers_of(ranking, known) == [c.answer for c in ranking.candidates]
    assert not searches  # a query that finds enough costs nothing more


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_further_answers_are_the_nearest_of_all_others(
    data: st.DataObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((deepening, "NEIGHBOURS"), (neighbourhood, "NEIGHBOURS"), (parts_module, "RARE")):
        monkeypatch.setattr(module, name, data.draw(st.integers(1, 5)))
    n, kinds = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 12))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rows = snap(random.normal(size=(n, D)))
    answers = [f"answer {i}" for i in random.integers(kinds, size=n)]
    index, question = context(rows, answers), snap(random.normal(size=(1, D)))
    ranking, k = ask(index, question), data.draw(st.integers(1, 15))

    found = answers_of(ranking, k)
    assert len(found) == len(set(found)) == min(k, len(set(answers)))
    candidates = [candidate.answer for candidate in ranking.candidates]
    assert found[: len(candidates)] == candidates[:k]
    wide = rows.astype(np.float64)
    order = np.argsort(-(wide @ question[0]) / np.linalg.norm(wide, axis=1), kind="stable")
    others = dict.fromkeys(answers[i] for i in order if answers[i] not in candidates)
    assert set(found[len(candidates) :]) == set(list(others)[: max(0, k - len(candidates))])
    for candidate in ranking.top(k)[len(candidates) :]:
        nearest_row = next(i for i in order.tolist() if answers[i] == candidate.answer)
        assert candidate.row == nearest_row
        assert index.text(candidate.row) == f"text {nearest_row}"


def test_the_asker_s_own_entry_and_answers_that_are_only_refuted_stay_out() -> None:
    random = np.random.default_rng(2)
    rows = snap(random.normal(size=(1, D)) + 0.01 * random.normal(size=(400, D)))
    index = context(rows[:399], ["same"] * 398 + ["own"])
    index.append(0, [Entry(399, 0, "c", "not this", "refuted", {}, -1)], rows[399:])
    question = snap(-rows[:1].astype(np.float64))  # the nearest ones are any
    near = nearest(question, index, exclude=[(0, 398)])
    found = next(ranked(["?"], near, index)).top(5)
    assert [candidate.answer for candidate in found] == ["same"]
