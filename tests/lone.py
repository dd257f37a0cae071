"""A lone broker that is killed, and what Kafka itself then forgets.

A broker that is started again ends the transactions that were about to be committed or aborted. Kafka 4.4
takes a partition that has no leader at that moment as deleted, and skips it; so the transaction stays open
there for ever, and its offsets can't be read (decision 0353). With replicas another broker leads the
partition. A lone broker leads it only once it is registered, so now and then a kill in the middle of a commit
ends like this, and nothing that a worker may do mends it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from hurnet_stream.local import KafkaServer
from tests.acceptance.system import System
from tests.conftest import QUICK_GROUPS

TRIES = 5
SKIPPED = "these partitions are likely deleted already and hence can be skipped"
"""What the broker writes to its log then."""


def with_lone_broker(scenario: Callable[[KafkaServer], None]) -> None:
    """Run `scenario`, which kills this broker. If it fails, and the broker says that it has skipped the end
    of a transaction, it is run again with a new broker. Any other failure is raised."""
    for _ in range(TRIES):
        with KafkaServer(settings=QUICK_GROUPS) as server:
            try:
                return scenario(server)
            except AssertionError:
                if SKIPPED not in server.log.read_text("utf-8", "replace"):
                    raise
    raise AssertionError(f"Kafka skipped the end of a transaction {TRIES} times")


def with_lone_system(
    valkey_url: str, folder: Path, scenario: Callable[[System, KafkaServer], None], **settings: str
) -> None:
    """`with_lone_broker` for a scenario that needs a system on that broker: with new names and a new folder
    each time."""

    def on_a_system(kafka: KafkaServer) -> None:
        name = f"lone-{secrets.token_hex(4)}"
        (folder / name).mkdir()
        with System(kafka.bootstrap, valkey_url, name, folder / name, **settings) as system:
            scenario(system.create_topics(), kafka)

    with_lone_broker(on_a_system)
