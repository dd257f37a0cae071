"""The rule: each part against its definition, the edges, and the kinds of context it must hold in."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.paper.feature_sums import FeatureSums
from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.paper.variant import Variant
from hurnet_stream.core.rule import parts as parts_module
from hurnet_stream.core.rule.encoded_words import similarities
from hurnet_stream.core.rule.local_solve import local_coefficients, ridges
from hurnet_stream.core.rule.mix import PRIOR
from hurnet_stream.core.rule.rule import Ranking, nearest, ranked
from hurnet_stream.core.rule.scn import similarity
from hurnet_stream.core.solve.solve import solve
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import Batch, Entry
from hurnet_stream.solver.learning import pairs as pairs_of

EMBEDDER = HashedText(256)


@pytest.fixture(autouse=True, scope="module")
def all_words_are_compared() -> Iterator[None]:
    """Those of all entries, and not of the nearest alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_module, "COMPARED", 10_000)
        yield


Pair = tuple[str, str | None]

LIGHTS: list[Pair] = [
    (f"{verb} the {room} {what}", intent)
    for verb, intent in (("turn on", "on"), ("switch on", "on"), ("turn off", "off"), ("switch off", "off"))
    for room in ("kitchen", "bedroom", "garage")
    for what in ("lights", "lamp", "fan")
]
TRIVIA: list[Pair] = [
    (f"what is the capital of {country}", capital)
    for country, capital in (("france", "Paris"), ("peru", "Lima"), ("kenya", "Nairobi"), ("japan", "Tokyo"))
]


def context(pairs: list[Pair]) -> tuple[ContextIndex, NDArray[np.float64]]:
    """The context and its P = (G + 0.1 I)⁻¹."""
    index = ContextIndex(256)
    vectors = EMBEDDER.embed([text for text, _ in pairs])
    index.append(0, [Entry(i, 0, "c", text, answer) for i, (text, answer) in enumerate(pairs)], vectors)
    x = (
        np.array([v for v, (_, a) in zip(vectors, pairs, strict=True) if a is not None]).reshape(-1, 256)
        / SCALE
    )
    projection = np.linalg.inv(x.T @ x + 0.1 * np.eye(256)).astype(np.float64)
    return index, projection


def ask(text: str, index: ContextIndex, projection: NDArray[np.float64] | None = None) -> Ranking:
    return next(ranked([text], nearest(EMBEDDER.embed([text]), index, projection), index))


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("pairs", [LIGHTS, TRIVIA, LIGHTS + TRIVIA])
def test_it_holds_in_a_context_of_one_kind_and_in_a_mixed_one(pairs: list[Pair], weighted: bool) -> None:
    index, projection = context(pairs)
    asked = (
        {"please turn on the kitchen lamp": "on", "switch the bedroom fan off": "off"}
        if LIGHTS[0] in pairs
        else {}
    )
    asked |= {"whats the captial of peru": "Lima", "capital japan": "Tokyo"} if TRIVIA[0] in pairs else {}
    for question, answer in asked.items():
        best = ask(question, index, projection if weighted else None).best
        assert best is not None
        assert best.answer == answer


def test_each_part_is_what_it_says() -> None:
    pairs: list[Pair] = [*LIGHTS, *TRIVIA]
    index, projection = context(pairs)
    question = "turn the kitchen light on"
    ranking = ask(question, index, projection)
    x = EMBEDDER.embed([question])[0] / SCALE
    rows = EMBEDDER.embed([text for text, _ in pairs]) / SCALE
    cosines = rows @ x / np.linalg.norm(rows, axis=1) / np.linalg.norm(x)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    taught = np.array([sum(a == answer for _, a in pairs) for _, answer in pairs])
    alpha = local_coefficients(unit @ unit.T, cosines, ridges(taught, cosines.max(), None))
    assert {c.answer for c in ranking.candidates} == {answer for _, answer in pairs}
    for c in ranking.candidates:
        mine = np.array([answer == c.answer for _, answer in pairs])
        assert c.scores.memory == pytest.approx(max(0, cosines[mine].max()))
        assert c.row == np.flatnonzero(mine)[cosines[mine].argmax()]
        assert c.scores.meaning == pytest.approx(np.clip(alpha[mine].sum(), 0, 1), abs=1e-5)
        assert c.scores.spelling == c.scores.meaning  # vectors with one half
        assert c.scores.lexical == pytest.approx(index.lexical_scores(question, np.flatnonzero(mine)).max())
        assert c.scores.weights == pytest.approx(
            np.clip(projection @ x @ rows[mine].sum(axis=0), 0, 1), abs=1e-5
        )
        expected = max(similarity(question, pairs[i][0]) for i in np.flatnonzero(mine))
        assert c.scores.words == pytest.approx(expected)
        p, f = c.scores, ranking.factors
        assert f is not None
        evidence = p.meaning**2 + f.memory * p.memory + f.lexical * p.lexical**2 + f.words * p.words**2
        evidence += f.weights * (p.weights or 0) ** 2
        evidence /= 1 + f.memory + f.lexical + f.words + f.weights
        evidence **= 0.5
        assert c.evidence == pytest.approx(evidence)
        assert c.combined == pytest.approx((evidence + cosines.max()) / 2)
    assert ranking.nearest == pytest.approx(cosines.max())
    scores = [c.combined for c in ranking.candidates]
    assert scores == sorted(scores, reverse=True)
    assert ranking.margin == scores[0] - scores[1]
    assert ranking.by("combined") == ranking.best


def test_without_weights_the_rest_is_scaled_up() -> None:
    index, _ = context([("hello there", "hi")])
    best = ask("hello there", index).best
    assert best is not None
    assert best.scores.weights is None
    assert best.scores.memory == pytest.approx(1)
    f, lexical = PRIOR.once, best.scores.lexical  # the only answer was taught once
    evidence = 1 / 1.1**2 + f.memory + f.lexical * lexical**2 + f.words
    assert best.evidence**2 == pytest.approx(evidence / (1 + f.memory + f.lexical + f.words))
    assert best.combined == pytest.approx((best.evidence + 1) / 2, abs=1e-5)


def test_no_entries_and_a_query_without_a_vector_have_no_answer() -> None:
    index, projection = context([("hello there", "hi")])
    for ranking in (ask("hello", ContextIndex(256), projection), ask("  ", index, projection)):
        assert ranking.candidates == ()
        assert ranking.nearest is None
        assert ranking.best is None
        assert ranking.runner_up is None
        assert ranking.margin is None
        assert ranking.by("memory") is None


def test_one_entry_answers_and_has_no_runner_up() -> None:
    index, projection = context([("hello there", None)])
    ranking = ask("hello", index, projection)
    assert ranking.best is not None
    assert ranking.best.answer == "hello there"
    assert ranking.best.scores.weights == 0  # an entry without an answer teaches nothing
    assert ranking.runner_up is None
    assert ranking.margin is None


def test_the_askers_own_entry_does_not_answer() -> None:
    index, projection = context([("hello there", "hi"), ("hello you", "ho")])
    vectors = EMBEDDER.embed(["hello there"])
    (ranking,) = ranked(["hello there"], nearest(vectors, index, projection, [(0, 0)]), index)
    assert [c.answer for c in ranking.candidates] == ["ho"]


def test_equal_candidates_go_to_the_first_appended() -> None:
    index, projection = context([("same words", "second"), ("same words", "first")])
    best = ask("same words", index, projection).best
    assert best is not None
    assert (best.answer, best.row) == ("second", 0)


def test_texts_too_long_to_compare_are_answered_without_their_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "similarities", lambda text, texts, _: similarities(text, texts, 0))
    index, projection = context([("hello there " * 20, "hi")])
    best = ask("hello there " * 20, index, projection).best
    assert best is not None
    assert (best.answer, best.scores.words) == ("hi", 0)


def test_nonsense_scores_far_below_a_question_with_typos() -> None:
    index, projection = context([*LIGHTS, *TRIVIA])
    good, bad = ask("whats teh capital of frnace", index, projection), ask("zxqv wvu jjj", index, projection)
    assert good.best is not None
    assert bad.best is not None
    assert good.best.combined > 0.4 > 0.2 > bad.best.combined


def test_a_batch_answers_as_its_queries_alone_do() -> None:
    index, projection = context([*LIGHTS, *TRIVIA])
    texts = ["kitchen light on", "", "capital of france?", "garage fan off"]
    together = ranked(texts, nearest(EMBEDDER.embed(texts), index, projection), index)
    for text, ranking in zip(texts, together, strict=True):
        alone = ask(text, index, projection)
        assert [c.answer for c in ranking.candidates] == [c.answer for c in alone.candidates]
        np.testing.assert_allclose(
            [c.combined for c in ranking.candidates], [c.combined for c in alone.candidates], atol=1e-6
        )


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=3, max_size=10),
    st.sampled_from(["none", "gaussian:256"]),
    st.integers(0, 2),
)
def test_an_entry_of_weight_w_ranks_like_w_copies(weights: list[int], spec: str, asked: int) -> None:
    pairs: list[Pair] = [
        (text, None if i % 4 == 3 else answer) for i, (text, answer) in enumerate(LIGHTS[::4])
    ]
    texts = [(text, answer, w) for (text, answer), w in zip(pairs, weights, strict=False)]
    copies = [(text, answer, 1) for text, answer, w in texts for _ in range(w)]
    features = KernelMap(spec, 256)
    found = []
    for taught in (texts, copies):
        entries = [Entry(i, 0, "c", text, answer, copies=w) for i, (text, answer, w) in enumerate(taught)]
        vectors = EMBEDDER.embed([entry.text for entry in entries])
        index, sums, statistics = ContextIndex(256), FeatureSums(features), Statistics(features.size)
        index.append(0, entries, vectors)
        sums.add(entries, vectors)
        for rows, answers, copied in pairs_of([Batch(0, len(entries), entries, vectors)]).values():
            statistics.add(features(rows), answers, copied)
        solved = solve(statistics, 0.1, "cpu")
        variant = Variant(sums=sums if spec != "none" else None)
        question = LIGHTS[asked][0]
        vectors = EMBEDDER.embed([question])
        (ranking,) = ranked([question], variant.nearest(vectors, index, solved.projection), index)
        found.append(ranking)
    one, other = ({c.answer: c for c in ranking.candidates} for ranking in found)
    assert one.keys() == other.keys()
    for answer, mine in one.items():
        # Rare words are counted by entries: copies of one entry make its words less rare, a weight does not.
        for part in ("meaning", "spelling", "memory", "words", "weights"):
            assert getattr(mine.scores, part) == pytest.approx(getattr(other[answer].scores, part), abs=1e-4)
