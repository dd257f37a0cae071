"""The duality map against its definition, and similarity in ℓp from the query to the answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_schemas import TextEvent
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.grid import SCALE, snap
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.paper.lp import duality_map, mapped_queries
from hurnet_stream.core.stored.batch import Entry
from hurnet_stream.operations.evaluation import Evaluation
from hurnet_stream.settings.settings import SolveSettings

ORDERS = st.floats(1.1, 6.0)
VECTORS = st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), min_size=1, max_size=8)


@given(VECTORS, ORDERS)
def test_it_is_the_duality_map(vector: list[float], p: float) -> None:
    x = np.array([vector])
    mapped, dual = duality_map(x, p), p / (p - 1)
    norm = float((np.abs(x) ** p).sum() ** (1 / p))
    assert float((mapped * x).sum()) == pytest.approx(norm**2, rel=1e-9, abs=1e-12)
    assert float((np.abs(mapped) ** dual).sum() ** (1 / dual)) == pytest.approx(norm, rel=1e-9, abs=1e-12)
    np.testing.assert_allclose(duality_map(mapped, dual), x, rtol=1e-6, atol=1e-6 * max(norm, 1e-9))


@given(VECTORS)
def test_in_hilbert_space_it_is_the_identity(vector: list[float]) -> None:
    np.testing.assert_allclose(duality_map(np.array([vector]), 2.0), np.array([vector]), rtol=1e-12)


def test_it_is_homogeneous_where_powers_would_leave_float64() -> None:
    x = np.array([[3.0, -1.0, 0.5]])
    for scale in (1e-200, 1e200):
        np.testing.assert_allclose(duality_map(x * scale, 5.0), duality_map(x, 5.0) * scale, rtol=1e-12)


@pytest.mark.parametrize("p", [1.0, 0.5, -1.0, np.inf, np.nan])
def test_where_it_has_many_values_it_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="single-valued"):
        duality_map(np.ones((1, 2)), p)


def test_zero_maps_to_zero_and_two_leaves_queries_alone() -> None:
    queries = snap(np.array([[0.0, 0.0], [1.0, 2.0]]))
    assert not mapped_queries(queries, 1.5)[0].any()
    assert mapped_queries(queries, 2.0) is queries


@pytest.mark.parametrize("p", [1.3, 1.8, 2.0, 3.0])
def test_the_nearest_in_lp_is_that_of_the_slow_reference(p: float) -> None:
    random = np.random.default_rng(5)
    rows, queries = snap(random.normal(size=(300, 24))), snap(random.normal(size=(20, 24)))
    index = ContextIndex(24)
    index.append(0, [Entry(i, 0, "c", str(i)) for i in range(300)], rows)
    x = queries / SCALE
    j = (np.abs(x) ** p).sum(1, keepdims=True) ** ((2 - p) / p) * np.abs(x) ** (p - 1) * np.sign(x)
    scores = j @ rows.T / np.linalg.norm(j, axis=1)[:, None] / np.linalg.norm(rows.astype(float), axis=1)
    for found, expected in zip(index.search(mapped_queries(queries, p), 3), scores, strict=True):
        np.testing.assert_allclose(found.cosines, np.sort(expected)[::-1][:3], atol=1e-3)
        assert found.rows[0] == expected.argmax()


@pytest.mark.parametrize("p", [1.5, 2.0, 3.0])
def test_evaluation_asks_in_lp(p: float) -> None:
    evaluation = Evaluation(HashedText(64), SolveSettings(device="cpu"), p)
    evaluation.teach([TextEvent(text=f"the {c} lamp", answer=c) for c in ("red", "green", "blue")])
    assert evaluation.solve() == []
    (asked,) = evaluation.ask([TextEvent(text="a green lamp", answer="green")])
    assert asked.right()
    assert asked.right("memory")
