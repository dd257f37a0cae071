"""The same stores four times: in memory, on a real Valkey, on a real Redis, on a cluster of Valkeys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.stores import MemoryStores, RedisStores, Stores
from tests.contract.three_nodes import three_nodes


@pytest.fixture
def redis_stores(valkey_url: str, unique: str) -> Iterator[RedisStores]:
    """On a real Valkey, for what can go wrong only there."""
    stores = RedisStores(valkey_url, unique)
    yield stores
    stores.wipe()
    for close in stores.close:
        close()


@pytest.fixture(scope="session")
def cluster_url() -> Iterator[str]:
    with three_nodes() as url:
        yield url


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """On a cluster only those whose module says so: for the others see
    tests/faults/test_stores_on_a_cluster.py."""
    if "stores" in metafunc.fixturenames and not hasattr(metafunc.module, "stores"):
        more = ["cluster"] if getattr(metafunc.module, "ON_A_CLUSTER_TOO", False) else []
        metafunc.parametrize("stores", ["memory", "valkey", "redis", *more], indirect=True)


@pytest.fixture
def stores(request: pytest.FixtureRequest, unique: str) -> Iterator[Stores]:
    if request.param == "memory":
        yield MemoryStores()
        return
    real = RedisStores(request.getfixturevalue(f"{request.param}_url"), unique)
    yield real
    real.wipe()
    for close in real.close:
        close()
