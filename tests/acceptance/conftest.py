"""A fresh system per test on the run's servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.system import System


@pytest.fixture
def system(kafka_bootstrap: str, valkey_url: str, unique: str, tmp_path: Path) -> Iterator[System]:
    with System(kafka_bootstrap, valkey_url, unique, tmp_path) as system:
        yield system.create_topics()
