"""Other libraries' searches for the nearest row, exact ones in float32 or approximate, in one thread.

All exact ones read the same rows in memory: faiss's own where it is installed, so that millions of rows fit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from hurnet_stream.core.stored.batch import Vectors
from tests.benchmarks._report import say
from tests.benchmarks._text import Corpus

FAISS: Final = ("faiss k=1", "faiss k=64")
EXACT: Final = (*FAISS, "numpy", "torch", "usearch exact")
GRAPHS: Final = ("faiss HNSW", "hnswlib")
CHUNK: Final = 1 << 14
MAX_SCORES: Final = 1 << 28  # 1 GiB of float32: products of matrices go in parts beyond it

Search = Callable[[Vectors], NDArray[np.int64]]
"""The nearest row of each query."""

Floats = NDArray[np.float32]
Product = Callable[[Floats, Floats], tuple[Floats, NDArray[np.int64]]]
"""Of queries and rows, each query's highest score and its row."""


def peers(corpus: Corpus, graphs: bool) -> dict[str, Search]:
    """Everything else that is installed, filled with unit vectors in float32."""
    torch.set_num_threads(1)
    found: dict[str, Search] = {}
    if find_spec("faiss"):
        unit, found = _faiss(corpus)
    else:
        unit = np.concatenate([_unit(part) for part in corpus.parts(CHUNK)])
    found |= {"numpy": _by_products(unit, _numpy), "torch": _by_products(unit, _torch)}
    if find_spec("usearch"):
        from usearch.index import search

        found["usearch exact"] = lambda q: _flat(
            search(unit, q.astype(np.float32), 1, "ip", exact=True, threads=1).keys
        )
    return found | (_graphs(unit) if graphs else {})


def _unit(vectors: Vectors) -> Floats:
    unit: Floats = vectors.astype(np.float32)
    unit /= np.sqrt(np.einsum("ij,ij->i", unit, unit))[:, None]
    return unit


class _Lent:
    """The rows of a flat index of faiss for numpy, which must not outlive it."""

    def __init__(self, index: Any) -> None:
        import faiss

        self._index = index
        rows = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d).reshape(index.ntotal, index.d)
        self.__array_interface__ = rows.__array_interface__


def _faiss(corpus: Corpus) -> tuple[Floats, dict[str, Search]]:
    import faiss

    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(corpus.dimension)
    for part in corpus.parts(CHUNK):
        flat.add(_unit(part))
    return np.asarray(_Lent(flat)), {f"faiss k={k}": _asked(flat, k) for k in (1, 64)}


def _asked(index: Any, k: int) -> Search:
    def search(queries: Vectors) -> NDArray[np.int64]:
        rows: NDArray[np.int64] = index.search(queries.astype(np.float32), k)[1][:, 0]
        return rows

    return search


def _by_products(unit: Floats, product: Product) -> Search:
    def search(queries: Vectors) -> NDArray[np.int64]:
        asked = queries.astype(np.float32)
        step = MAX_SCORES // len(asked)
        parts = [(first, product(asked, unit[first : first + step])) for first in range(0, len(unit), step)]
        best = np.argmax([scores for _, (scores, _) in parts], axis=0)
        rows: NDArray[np.int64] = np.choose(best, [first + at for first, (_, at) in parts])
        return rows

    return search


def _numpy(queries: Floats, rows: Floats) -> tuple[Floats, NDArray[np.int64]]:
    scores = queries @ rows.T
    at = scores.argmax(axis=1)
    return scores[np.arange(len(queries)), at], at


def _torch(queries: Floats, rows: Floats) -> tuple[Floats, NDArray[np.int64]]:
    scores = torch.from_numpy(queries) @ torch.from_numpy(rows).T
    at = scores.argmax(1)
    return scores[torch.arange(len(at)), at].numpy(), at.numpy()


def _graphs(unit: Floats) -> dict[str, Search]:
    """Approximate ones. They are built by all processors, which takes minutes for 100,000 rows."""
    found: dict[str, Search] = {}
    if find_spec("faiss"):
        import faiss

        say("building faiss HNSW")
        faiss.omp_set_num_threads(os.cpu_count() or 1)
        hnsw = faiss.IndexHNSWFlat(unit.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
        hnsw.add(unit)
        faiss.omp_set_num_threads(1)
        found["faiss HNSW"] = _asked(hnsw, 1)
    if find_spec("hnswlib"):
        import hnswlib

        say("building hnswlib")
        graph = hnswlib.Index("ip", unit.shape[1])
        graph.init_index(len(unit), ef_construction=100, M=16)
        graph.add_items(unit, num_threads=os.cpu_count() or 1)
        graph.set_ef(64)
        found["hnswlib"] = lambda q: _flat(graph.knn_query(q.astype(np.float32), 1, num_threads=1)[0])
    return found


def _flat(keys: Any) -> NDArray[np.int64]:
    return np.asarray(keys).reshape(-1).astype(np.int64)
