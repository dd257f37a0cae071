"""The probe server: the pages it is given, on the address it is given, and nothing else."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

import pytest

from workers.adapters.http import TEXT, ProbeServer
from workers.errors import ConfigurationError
from workers.metrics import Metrics


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_it_serves_its_pages_and_no_others() -> None:
    pages = {"/ok": lambda: (200, TEXT, b"fine"), "/bad": lambda: (503, TEXT, b"reasons")}
    server = ProbeServer("127.0.0.1", 0, pages)
    try:
        assert get(server.url + "/ok?x=1") == (200, "fine")
        assert get(server.url + "/bad") == (503, "reasons")
        assert get(server.url + "/../etc/passwd")[0] == 404
    finally:
        server.close()
    with pytest.raises(OSError, match="refused"):
        get(server.url + "/ok")


def test_an_address_that_is_taken_is_told() -> None:
    server = ProbeServer("127.0.0.1", 0, {})
    port = int(server.url.rpartition(":")[2])
    try:
        with pytest.raises(ConfigurationError, match=f"can't serve metrics on 127.0.0.1:{port}"):
            ProbeServer("127.0.0.1", port, {})
    finally:
        server.close()


def test_metrics_have_a_meaning_and_moved_partitions_leave_no_series() -> None:
    metrics = Metrics()
    metrics.set_by_partition(metrics.lag_records, {0: 5, 1: 7})
    metrics.set_by_partition(metrics.lag_records, {1: 6})
    metrics.weights_in_force("default", 3, 0.0, {"residual": 0.5, "method": "cholesky", "gcv": None})
    text = metrics.exposition().decode()
    assert 'hurnet_lag_records{partition="1"} 6.0' in text
    assert 'partition="0"' not in text
    assert 'hurnet_certificate{context="default",figure="residual"} 0.5' in text
    assert 'figure="method"' not in text
    assert not sys.platform.startswith("linux") or "process_resident_memory_bytes" in text
    helps = [line for line in text.splitlines() if line.startswith("# HELP hurnet_")]
    assert len(helps) > 20
    assert all(len(line.split(maxsplit=3)) == 4 for line in helps)
