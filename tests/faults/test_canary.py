"""The canary beside the real system: what breaks shows in its figures, and a killed one leaves nothing
behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager

from hurnet_stream.adapters.redis import Connection, connect
from tests.acceptance.system import PARTITIONS, Running, System, wait_for

OFTEN = {"HURNET_CANARY_INTERVAL": "0.25", "HURNET_CANARY_TIMEOUT": "6"}


def probes(canary: Running, outcome: str, of: str = "probes") -> float:
    """How many there were so far."""
    shown = canary.get("/metrics")[1]
    found = re.search(rf'^hurnet_canary_{of}_total{{outcome="{outcome}"}} (\S+)$', shown, re.MULTILINE)
    return float(found[1]) if found else 0.0


def more(canary: Running, outcome: str, count: int = 1, of: str = "probes") -> None:
    """Wait until there were so many more."""
    before = probes(canary, outcome, of)
    wait_for(lambda: probes(canary, outcome, of) >= before + count, what=f"{count} more {of}: {outcome}")


def in_store(system: System) -> list[str]:
    entries = [entry for batch in system.batches() for entry in batch.entries]
    return [entry.text for entry in entries if entry.context == "canary"]


def test_what_breaks_shows_and_what_is_mended_shows_too(system: System) -> None:
    workers = {name: system.start(name).wait_ready() for name in ("ingest", "solver", "responder")}
    canary = system.start(
        "canary", **OFTEN, HURNET_CANARY_DELETION_INTERVAL="5", HURNET_CANARY_VERIFY_INTERVAL="20"
    ).wait_ready()
    more(canary, "ok", 2 * PARTITIONS)
    more(canary, "ok", PARTITIONS, of="deletions")
    more(canary, "ok", of="verified_offsets")
    workers["responder"].kill()
    more(canary, "no-reply", 3)
    workers["responder"] = system.start("responder").wait_ready()
    more(canary, "ok", 2 * PARTITIONS)
    workers["ingest"].kill()
    more(canary, "timed-out", 3)
    workers["ingest"] = system.start("ingest").wait_ready()
    more(canary, "ok", 2 * PARTITIONS)
    for outcome in ("wrong", "abstained", "rejected"):
        assert probes(canary, outcome) == 0, canary.said()[-3000:]
    assert probes(canary, "different", of="verified_offsets") == 0
    assert probes(canary, "still-there", of="deletions") == 0
    assert "hurnet_canary_duplicates_total 0.0" in canary.get("/metrics")[1]
    canary.wait_ready()
    assert canary.terminate() == 0
    wait_for(lambda: not in_store(system), what="all of its texts are erased")
    assert system.dead_letters() == []


@contextmanager
def redis_of(system: System) -> Iterator[Connection]:
    connection = connect(system.settings.redis)
    with closing(connection):
        yield connection


def bytes_in_redis(system: System) -> int:
    with redis_of(system) as connection:
        keys = connection.client.scan_iter(f"*{system.settings.redis.prefix}*")
        return sum(connection.client.memory_usage(key, samples=0) or 0 for key in keys)


def test_a_killed_canary_leaves_nothing_once_the_next_one_has_started(system: System) -> None:
    for name in ("ingest", "solver", "responder"):
        system.start(name).wait_ready()
    warm = system.start("canary", **OFTEN).wait_ready()
    more(warm, "ok", PARTITIONS)
    assert warm.terminate() == 0
    wait_for(lambda: not in_store(system), what="the texts of the first run are erased")
    wait_for(lambda: system.run("status").returncode == 0, what="all is well")
    before = bytes_in_redis(system)  # nothing is probed meanwhile
    first = system.start("canary", **OFTEN).wait_ready()
    wait_for(lambda: probes(first, "ok") >= 100, what="100 probes")
    sent = probes(first, "ok")
    first.kill()
    assert len(in_store(system)) >= sent
    second = system.start("canary", HURNET_CANARY_INTERVAL="600").wait_ready()
    wait_for(lambda: len(in_store(system)) <= 1, what="only the second one's probe is left")
    assert second.terminate() == 0
    wait_for(lambda: not in_store(system), what="and that goes with it")
    residue = (bytes_in_redis(system) - before) / sent
    assert system.run("compact", "--yes").returncode == 0
    compacted = (bytes_in_redis(system) - before) / sent
    sample = system.run("verify", "--sample", "20")
    assert sample.returncode == 0, sample.stdout + sample.stderr
    print(f"bytes of Redis left by a probe: {residue:.0f} once deleted, {compacted:.1f} once compacted")
    assert compacted < 50 < residue < 1_500


def test_a_kafka_that_goes_away_is_measured_and_ends_nothing(system: System) -> None:
    nowhere = {"HURNET_KAFKA_BOOTSTRAP": "127.0.0.1:1", "HURNET_KAFKA_REQUEST_TIMEOUT": "1"}
    canary = system.start("canary", **OFTEN, **nowhere)
    wait_for(lambda: probes(canary, "produce-failed") >= 3, what="failed probes")
    assert canary.get("/readyz")[0] == 503
    wait_for(lambda: "127.0.0.1:1" in canary.get("/readyz")[1], what="readiness says why")
    assert canary.terminate() == 0
