"""A primary, two replicas and three Sentinels: primaries are killed under load, with and without a loss."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.system import System
from tests.faults.replicated import items, lose_acknowledged, some_more, streams, under_load
from tests.sentinels import SentinelSet


def test_primaries_are_killed_in_turn(kafka_bootstrap: str, unique: str, tmp_path: Path) -> None:
    with SentinelSet() as servers, System(kafka_bootstrap, servers.url, unique, tmp_path) as system:

        def disturb() -> None:
            keys = streams(system)
            some_more(lambda: items(servers.primary(), keys), 3)
            servers.fail_over()
            servers.whole()
            old = servers.primary()
            lose_acknowledged(keys, old, [server for server in servers.servers if server is not old])
            servers.fail_over()

        under_load(system, disturb)
