"""Other libraries' searches for the nearest row, exact ones in float32 or approximate, in one thread."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.core.context import Vectors

Search = Callable[[Vectors], NDArray[np.int64]]
"""The nearest row of each query."""


def peers(vectors: Vectors, approximate: bool) -> dict[str, Search]:
    """Everything else that is installed, filled with unit vectors in float32."""
    unit = vectors.astype(np.float32)
    unit /= np.sqrt(np.einsum("ij,ij->i", unit, unit))[:, None]
    found: dict[str, Search] = {"numpy": lambda q: (unit @ q.astype(np.float32).T).argmax(axis=0)}
    import torch

    torch.set_num_threads(1)
    tensor = torch.from_numpy(unit)
    found["torch"] = lambda q: (torch.from_numpy(q.astype(np.float32)) @ tensor.T).argmax(1).numpy()
    if find_spec("faiss"):
        found |= _faiss(unit, approximate)
    if find_spec("usearch"):
        from usearch.index import search

        found["usearch exact"] = lambda q: _flat(
            search(unit, q.astype(np.float32), 1, "ip", exact=True, threads=1).keys
        )
    if find_spec("hnswlib") and approximate:
        import hnswlib

        graph = hnswlib.Index("ip", unit.shape[1])
        graph.init_index(len(unit), ef_construction=100, M=16)
        graph.add_items(unit, num_threads=1)
        graph.set_ef(64)
        found["hnswlib"] = lambda q: _flat(graph.knn_query(q.astype(np.float32), 1, num_threads=1)[0])
    return found


def _faiss(unit: NDArray[np.float32], approximate: bool) -> dict[str, Search]:
    import faiss

    faiss.omp_set_num_threads(1)
    kinds: dict[str, tuple[Any, int]] = {}
    flat = faiss.IndexFlatIP(unit.shape[1])
    kinds["faiss k=1"], kinds["faiss k=64"] = (flat, 1), (flat, 64)
    if approximate:
        kinds["faiss HNSW"] = (faiss.IndexHNSWFlat(unit.shape[1], 32, faiss.METRIC_INNER_PRODUCT), 1)
    for index in {id(index): index for index, _ in kinds.values()}.values():
        index.add(unit)
    return {name: _asked(index, k) for name, (index, k) in kinds.items()}


def _asked(index: Any, k: int) -> Search:
    return lambda queries: index.search(queries.astype(np.float32), k)[1][:, 0]


def _flat(keys: Any) -> NDArray[np.int64]:
    return np.asarray(keys).reshape(-1).astype(np.int64)
