"""Embedding on Dask: order, fingerprints, sick workers, and what is Dask's fault. Against a cluster of plain
functions; a real one is in tests/faults/test_dask.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.adapters.embedders import load
from hurnet_stream.adapters.embedders.dask_pool import DaskPool
from hurnet_stream.adapters.embedders.dask_task import Embedded
from hurnet_stream.core.stored.batch import EmbedderIdentity
from hurnet_stream.embedding import embed
from hurnet_stream.errors import ConfigurationError, DaskFailing
from hurnet_stream.settings.dask import DaskSettings

HASH = load("hash16")
ADDRESSES = ("tcp://a:1", "tcp://b:1", "tcp://c:1")
Worker = Callable[[Sequence[str]], Embedded]


class KilledWorker(Exception):
    """As Dask's own is called."""


class Cluster:
    """Gives tasks to its workers in turn, as a client of Dask does."""

    def __init__(self, workers: dict[str, Worker]) -> None:
        self.workers = workers
        self.connected = 0
        self.tasks: list[tuple[str, int]] = []
        self._turns = count()

    def connect(self, _settings: DaskSettings) -> Cluster:
        self.connected += 1
        return self

    def submit(self, _function: object, _name: str, texts: list[str], _questions: bool, **how: Any) -> Future:
        known = how["workers"] or sorted(self.workers)
        address = known[next(self._turns) % len(known)]
        self.tasks.append((address, len(texts)))
        return Future(self.workers[address], texts)

    def scheduler_info(self) -> dict[str, Any]:
        return {"workers": dict.fromkeys(self.workers)}

    def close(self, timeout: float) -> None:
        del timeout


class Future:
    def __init__(self, worker: Worker, texts: Sequence[str]) -> None:
        self._worker, self._texts = worker, texts

    def result(self, timeout: float) -> Embedded:
        assert timeout > 0
        return self._worker(self._texts)


def well(address: str) -> Worker:
    return lambda texts: Embedded(address, HASH.identity, HASH.embed(texts) if texts else None)


def sick(address: str) -> Worker:
    return lambda texts: Embedded(address, HASH.identity, failure="RuntimeError: no GPU" if texts else "")


def foreign(address: str) -> Worker:
    identity = EmbedderIdentity("hash16", "another", 16)
    return lambda texts: Embedded(address, identity, HASH.embed(texts) if texts else None)


def raising(error: Exception) -> Worker:
    def worker(texts: Sequence[str]) -> Embedded:
        if texts:
            raise error
        return Embedded("tcp://a:1", HASH.identity)

    return worker


def pool(cluster: Cluster, texts: int = 2) -> DaskPool:
    settings = DaskSettings(scheduler="tcp://127.0.0.1:8786", texts=texts, timeout=1)
    return DaskPool("hash16", settings, cluster.connect)


@given(texts=st.lists(st.text(max_size=5), max_size=9), size=st.integers(1, 4))
def test_vectors_are_in_the_order_of_the_texts_and_those_of_one_process(texts: list[str], size: int) -> None:
    cluster = Cluster({address: well(address) for address in ADDRESSES})
    split = pool(cluster, size)
    assert split.identity == HASH.identity
    assert np.array_equal(split.embed(texts), HASH.embed(texts))
    assert np.array_equal(split.embed_questions(texts), HASH.embed_questions(texts))
    assert all(number <= size for _, number in cluster.tasks)


def test_a_worker_with_another_embedder_is_left_alone() -> None:
    cluster = Cluster({"tcp://a:1": well("tcp://a:1"), "tcp://b:1": foreign("tcp://b:1")})
    split = pool(cluster)
    for _ in range(3):
        assert np.array_equal(split.embed(list("abcdef")), HASH.embed(list("abcdef")))
    assert sum(address == "tcp://b:1" for address, _ in cluster.tasks) <= 3, "asked in the first turn alone"


def test_if_all_have_another_embedder_it_is_waited_for_and_no_text_is_blamed() -> None:
    cluster = Cluster({"tcp://a:1": well("tcp://a:1")})
    split = pool(cluster)
    cluster.workers = {"tcp://b:1": foreign("tcp://b:1")}
    with pytest.raises(DaskFailing, match="no worker of Dask"):
        embed(split, ["a"])
    cluster.workers["tcp://c:1"] = well("tcp://c:1")
    assert np.array_equal(split.embed(["a"]), HASH.embed(["a"]))


@pytest.mark.parametrize("wrong", [np.zeros((1, 16), np.float32), np.zeros((2, 16), np.int16)])
def test_vectors_of_another_shape_or_kind_are_not_taken(wrong: Any) -> None:
    cluster = Cluster({"tcp://a:1": well("tcp://a:1")})
    split = pool(cluster)
    cluster.workers["tcp://a:1"] = lambda _texts: Embedded("tcp://a:1", HASH.identity, wrong)
    with pytest.raises(DaskFailing):
        split.embed(["a"])


def test_a_sick_worker_is_no_texts_fault() -> None:
    cluster = Cluster({"tcp://a:1": sick("tcp://a:1"), "tcp://b:1": well("tcp://b:1")})
    vectors, failures = embed(pool(cluster), ["a", "b", "c"])
    assert not failures
    assert np.array_equal(vectors, HASH.embed(["a", "b", "c"]))


@pytest.mark.parametrize("addresses", [ADDRESSES, ADDRESSES[:1]])
def test_what_fails_on_two_workers_or_on_the_only_one_is_the_texts_fault(addresses: Sequence[str]) -> None:
    def picky(address: str) -> Worker:
        def worker(texts: Sequence[str]) -> Embedded:
            return sick(address)(texts) if "bad" in texts else well(address)(texts)

        return worker

    split = pool(Cluster({address: picky(address) for address in addresses}))
    vectors, failures = embed(split, ["a", "bad", "c"])
    assert list(failures) == [1]
    assert failures[1][0] == "embedder-failed"
    assert np.array_equal(vectors[[0, 2]], HASH.embed(["a", "c"]))


def test_a_text_that_ends_one_worker_after_the_other_is_put_aside() -> None:
    def deadly(texts: Sequence[str]) -> Embedded:
        if "bad" in texts:
            raise KilledWorker("embed-1 tried to run on 4 workers")
        return well("tcp://a:1")(texts)

    _, failures = embed(pool(Cluster({"tcp://a:1": deadly})), ["a", "bad", "c"])
    assert list(failures) == [1]


@pytest.mark.parametrize(
    "error",
    [TimeoutError("late"), OSError("closed"), RuntimeError("No workers"), ImportError("hurnet_stream")],
)
def test_whatever_fails_of_dask_is_waited_for_and_a_new_client_is_made(error: Exception) -> None:
    cluster = Cluster({"tcp://a:1": well("tcp://a:1")})
    split = pool(cluster)
    cluster.workers["tcp://a:1"] = raising(error)
    with pytest.raises(DaskFailing, match=type(error).__name__):
        embed(split, ["a"])
    cluster.workers["tcp://a:1"] = well("tcp://a:1")
    assert np.array_equal(split.embed(["a"]), HASH.embed(["a"]))
    assert cluster.connected == 2


def test_a_cluster_that_is_away_at_the_start_is_waited_for() -> None:
    def refuse(_settings: DaskSettings) -> Any:
        raise OSError("connection refused")

    with pytest.raises(DaskFailing, match="connection refused"):
        DaskPool("hash16", DaskSettings(scheduler="tcp://127.0.0.1:1"), refuse)


def test_an_embedder_that_no_worker_can_load_is_told_as_a_mistake() -> None:
    cluster = Cluster({"tcp://a:1": lambda _texts: Embedded("tcp://a:1", None, failure="no package")})
    with pytest.raises(ConfigurationError, match="no package"):
        pool(cluster)


@pytest.fixture
def on_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Embedded]]:
    """The function as it runs on a worker."""
    distributed = pytest.importorskip("distributed")
    from hurnet_stream.adapters.embedders import dask_task

    worker = type("Worker", (), {"address": "tcp://a:1"})()
    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    yield dask_task.embedded
    dask_task._loaded.cache_clear()


def test_a_worker_raises_nothing_since_dask_would_log_the_texts(
    on_worker: Callable[..., Embedded], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert on_worker("hash16", [], False).identity == HASH.identity
    done = on_worker("hash16", ["a"], False)
    assert np.array_equal(done.vectors, HASH.embed(["a"]))  # type: ignore[arg-type]
    assert on_worker("no-such", ["a"], False).failure.startswith("ConfigurationError")
    monkeypatch.setattr(type(HASH), "embed", lambda *_: 1 / 0)
    assert on_worker("hash16", ["secret"], False).failure == "ZeroDivisionError: division by zero"
