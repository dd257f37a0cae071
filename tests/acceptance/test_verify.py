"""`hurnet verify` on a real system: equal, different, or no longer provable."""

from __future__ import annotations

import json
from dataclasses import replace

import msgpack
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient

from hurnet_stream.adapters.redis import connect
from hurnet_stream.core.stored.batch import MAX_OFFSET
from hurnet_stream.core.stored.codec import EncodedBatch, decode_batch, encode_batch
from tests.acceptance.system import System, wait_for
from tests.acceptance.test_forget import events, teach


def test_verify_proves_it_and_finds_what_was_changed(system: System) -> None:
    teach(system, events(0, 90))
    system.teach([b"no text"])
    workers = [system.start(name).wait_ready() for name in ("ingest", "solver")]
    wait_for(lambda: len(system.texts_in_store()) == 90, what="all texts in")
    assert system.run("forget", "--key", "p2", "--entry", "0/1", "--wait", "100").returncode == 0
    wait_for(lambda: len(system.texts_in_store()) == 71, what="erased")
    beside = system.run("verify")
    assert (beside.returncode, beside.stdout.splitlines()[-1]) == (0, "equal"), beside.stdout + beside.stderr
    assert [worker.terminate() for worker in workers] == [0, 0]
    proof = json.loads(system.run("verify", "--json").stdout)
    assert sum(shard["entries"] for shard in proof["shards"]) == 71
    assert proof["digests"] == {"default": system.checkpoint().statistics["default"].digest()}
    assert system.run("verify", "--range", "0/0-5").returncode == 0
    assert system.run("verify", "--range", "0/0-500").returncode == 2
    change_an_answer(system)
    changed = system.run("verify")
    assert changed.returncode == 1
    assert "the store has another answer" in changed.stdout
    other = system.run("verify", HURNET_EMBEDDER_NAME="hash64")
    assert other.returncode == 2
    assert "was made by" in other.stderr


def test_verify_says_what_retention_took(system: System) -> None:
    teach(system, events(0, 90))
    workers = [system.start(name).wait_ready() for name in ("ingest", "solver")]
    wait_for(lambda: len(system.texts_in_store()) == 90, what="all texts in")
    wait_for(lambda: system.rows_folded() == 90, what="all folded, and saved")
    assert [worker.terminate() for worker in workers] == [0, 0]
    topic = system.settings.kafka.texts
    with KafkaAdminClient(bootstrap_servers=system.variables["HURNET_KAFKA_BOOTSTRAP"]) as admin:
        admin.delete_records({TopicPartition(topic, 0): 10})
    partly = system.run("verify")
    assert partly.returncode == 3, partly.stderr
    assert "10 entries are unproved" in partly.stdout


def change_an_answer(system: System) -> None:
    """Move the first answer of shard 0 elsewhere, under a right checksum."""
    connection = connect(system.patient_redis)
    stream = f"{system.settings.redis.prefix}:{{shard-0}}:redacted"
    (member,) = connection.client.zrange(stream, 0, 0)
    fields = msgpack.unpackb(member[8:])
    batch = decode_batch(0, MAX_OFFSET, EncodedBatch(fields[b"entries"], fields[b"vectors"]), 128)
    entries = [replace(batch.entries[0], answer="forged"), *batch.entries[1:]]
    fields[b"entries"], fields[b"vectors"] = encode_batch(replace(batch, entries=entries))
    connection.client.zrem(stream, member)
    connection.client.zadd(stream, {member[:8] + msgpack.packb(fields): 0})
    connection.client.close()
