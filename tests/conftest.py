"""Servers for the tests, started once a run; KAFKA_BOOTSTRAP and REDIS_URL name others to use instead."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator

import hypothesis
import pytest
import structlog

from hurnet_stream.core import arrays
from hurnet_stream.local import KafkaServer, ValkeyServer
from tests.tools import needed

hypothesis.settings.register_profile("busy", deadline=None)  # a busy machine takes many times as long
hypothesis.settings.load_profile("busy")

os.environ.pop("COLUMNS", None)  # or whoever starts the tests says how wide tables are

QUICK_GROUPS = {"group.min.session.timeout.ms": "1000"}
"""Kafka's own least is six seconds: with one, a test's dead consumers are evicted sooner."""


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Take back what a command sets up of logging when it runs in a test's process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    if structlog.is_configured():
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.getLogger("hurnet_stream").setLevel(logging.NOTSET)
        logging.captureWarnings(False)
        structlog.reset_defaults()


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """A real Apache Kafka."""
    if own := os.environ.get("KAFKA_BOOTSTRAP"):
        yield own
        return
    # Tests choose timestamps freely. A broker looks every few minutes for records that are too old, and would
    # now and then delete those of 1970 from under a test. This one looks once a day.
    with KafkaServer(settings={**QUICK_GROUPS, "log.retention.check.interval.ms": "86400000"}) as server:
        yield server.bootstrap


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """A real Valkey that fsyncs every write."""
    if own := os.environ.get("REDIS_URL"):
        yield own
        return
    with ValkeyServer() as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis, if one is installed. In CI it must be."""
    needed("redis-server")
    with ValkeyServer(binary="redis-server") as server:
        yield server.url


@pytest.fixture(scope="module", params=["torch", "numpy"])
def each_library(request: pytest.FixtureRequest) -> Iterator[None]:
    """The solver by torch, and as it is where torch is not installed."""
    with pytest.MonkeyPatch.context() as patched:
        if request.param == "numpy":
            patched.setattr(arrays, "installed_torch", lambda: None)
        yield


@pytest.fixture
def exact_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exact `torch._int_mm` on the CPU, where it stands for the one on CUDA: not every CPU's is exact."""
    import torch

    from hurnet_stream.core.search import int8 as products

    if not products.torch_is_exact():
        original = torch._int_mm

        def exact(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            if left.device.type != "cpu":
                return original(left, right)
            return torch.from_numpy(products.by_floats(left.numpy(), right.T.numpy()).astype("int32"))

        monkeypatch.setattr(torch, "_int_mm", exact)


@pytest.fixture
def unique() -> str:
    """A name no other test has, for topics, groups and prefixes."""
    return f"t{secrets.token_hex(5)}"
